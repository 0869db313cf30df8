package logic

import (
	"context"

	medicationpb "clinsource/proto/medication"
	recordpb "clinsource/proto/record"
	"clinsource/subject-rpc/internal/message"
	"clinsource/subject-rpc/internal/svc"
)

// VoidMedicationLogic does one VoidMedication call.
type VoidMedicationLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewVoidMedicationLogic makes the logic of one call.
func NewVoidMedicationLogic(ctx context.Context, svcCtx *svc.ServiceContext) *VoidMedicationLogic {
	return &VoidMedicationLogic{ctx: ctx, svcCtx: svcCtx}
}

// VoidMedication stores a version that says that the record counts no more.
func (l *VoidMedicationLogic) VoidMedication(in *recordpb.VoidRecordRequest) (*medicationpb.VoidMedicationResponse, error) {
	stored, created, err := l.svcCtx.Medications.Void(l.ctx, l.svcCtx.Subjects, in)
	if err != nil {
		return nil, err
	}
	out, err := message.RecordOut(stored)
	return &medicationpb.VoidMedicationResponse{Medication: out, Created: created,
		RecordId: out.GetRecordId(), Version: out.GetVersion(), Findings: out.GetFindings()}, err
}
