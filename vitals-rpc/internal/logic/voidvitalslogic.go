package logic

import (
	"context"

	recordpb "clinsource/proto/record"
	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/message"
	"clinsource/vitals-rpc/internal/svc"
)

// VoidVitalsLogic does one VoidVitals call.
type VoidVitalsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewVoidVitalsLogic makes the logic of one call.
func NewVoidVitalsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *VoidVitalsLogic {
	return &VoidVitalsLogic{ctx: ctx, svcCtx: svcCtx}
}

// VoidVitals stores a version that says that the record counts no more.
func (l *VoidVitalsLogic) VoidVitals(in *recordpb.VoidRecordRequest) (*vitalspb.VoidVitalsResponse, error) {
	stored, created, err := l.svcCtx.Store.Void(l.ctx, l.svcCtx.Subjects, in)
	if err != nil {
		return nil, err
	}
	out, err := message.RecordOut(stored)
	return &vitalspb.VoidVitalsResponse{Record: out, Created: created,
		RecordId: out.GetRecordId(), Version: out.GetVersion(), Findings: out.GetFindings()}, err
}
