package logic

import (
	"context"

	"clinsource/epro-rpc/internal/message"
	"clinsource/epro-rpc/internal/svc"
	"clinsource/internal/ident"
	"clinsource/internal/merge"
	"clinsource/internal/records"
	epropb "clinsource/proto/epro"
)

// AmendReportLogic does one AmendReport call.
type AmendReportLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewAmendReportLogic makes the logic of one call.
func NewAmendReportLogic(ctx context.Context, svcCtx *svc.ServiceContext) *AmendReportLogic {
	return &AmendReportLogic{ctx: ctx, svcCtx: svcCtx}
}

// AmendReport judges what the correction makes of the record as if it came anew, and
// stores it as the next version.
func (l *AmendReportLogic) AmendReport(in *epropb.AmendReportRequest) (*epropb.AmendReportResponse, error) {
	var check ident.Checker
	c := records.CorrectionOf(in, &check)
	if err := check.Err(); err != nil {
		return nil, err
	}
	base, err := l.svcCtx.Store.BaseOf(l.ctx, l.svcCtx.Subjects, c)
	if err != nil {
		return nil, err
	}
	d, err := l.draft(in, base)
	if err != nil {
		return nil, err
	}
	stored, created, err := l.svcCtx.Store.Amend(l.ctx, d, base, c)
	if err != nil {
		return nil, err
	}
	out, err := message.RecordOut(stored)
	return &epropb.AmendReportResponse{Report: out, Created: created,
		RecordId: out.GetRecordId(), Version: out.GetVersion(), Findings: out.GetFindings()}, err
}

func (l *AmendReportLogic) draft(in *epropb.AmendReportRequest, base records.Base) (records.Draft, error) {
	before, err := message.Request(base.Record)
	if err != nil {
		return records.Draft{}, err
	}
	after, err := message.Request(base.Record)
	if err != nil {
		return records.Draft{}, err
	}
	bad := merge.Apply(after, in, in.GetUpdateMask())
	judged, check := judge(after)
	check = append(bad, check...)
	changed := merge.Changed(before, after)
	records.RefuseSame(&check, changed)
	if err := check.Err(); err != nil {
		return records.Draft{}, err
	}
	d, err := judged.draft(base.Place, base.Scope)
	d.Fields = changed
	return d, err
}
