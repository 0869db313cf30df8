package logic

import (
	"context"

	"clinsource/internal/ident"
	"clinsource/internal/merge"
	"clinsource/internal/records"
	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/message"
	"clinsource/vitals-rpc/internal/svc"
)

// AmendVitalsLogic does one AmendVitals call.
type AmendVitalsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewAmendVitalsLogic makes the logic of one call.
func NewAmendVitalsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *AmendVitalsLogic {
	return &AmendVitalsLogic{ctx: ctx, svcCtx: svcCtx}
}

// AmendVitals judges what the correction makes of the record as if it came anew, and
// stores it as the next version.
func (l *AmendVitalsLogic) AmendVitals(in *vitalspb.AmendVitalsRequest) (*vitalspb.AmendVitalsResponse, error) {
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
	return &vitalspb.AmendVitalsResponse{Record: out, Created: created,
		RecordId: out.GetRecordId(), Version: out.GetVersion(), Findings: out.GetFindings()}, err
}

func (l *AmendVitalsLogic) draft(in *vitalspb.AmendVitalsRequest, base records.Base) (records.Draft, error) {
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
