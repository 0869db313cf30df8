package logic

import (
	"context"

	"clinsource/epro-rpc/internal/message"
	"clinsource/epro-rpc/internal/svc"
	epropb "clinsource/proto/epro"
	recordpb "clinsource/proto/record"
)

// VoidReportLogic does one VoidReport call.
type VoidReportLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewVoidReportLogic makes the logic of one call.
func NewVoidReportLogic(ctx context.Context, svcCtx *svc.ServiceContext) *VoidReportLogic {
	return &VoidReportLogic{ctx: ctx, svcCtx: svcCtx}
}

// VoidReport stores a version that says that the record counts no more.
func (l *VoidReportLogic) VoidReport(in *recordpb.VoidRecordRequest) (*epropb.VoidReportResponse, error) {
	stored, created, err := l.svcCtx.Store.Void(l.ctx, l.svcCtx.Subjects, in)
	if err != nil {
		return nil, err
	}
	out, err := message.RecordOut(stored)
	return &epropb.VoidReportResponse{Report: out, Created: created,
		RecordId: out.GetRecordId(), Version: out.GetVersion(), Findings: out.GetFindings()}, err
}
