package logic

import (
	"context"

	"clinsource/internal/records"
	medicationpb "clinsource/proto/medication"
	recordpb "clinsource/proto/record"
	"clinsource/subject-rpc/internal/message"
	"clinsource/subject-rpc/internal/svc"
)

// ListMedicationVersionsLogic does one ListMedicationVersions call.
type ListMedicationVersionsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListMedicationVersionsLogic makes the logic of one call.
func NewListMedicationVersionsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListMedicationVersionsLogic {
	return &ListMedicationVersionsLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListMedicationVersions lists all versions of a record, the first one first.
func (l *ListMedicationVersionsLogic) ListMedicationVersions(in *recordpb.ListRecordVersionsRequest) (*medicationpb.ListMedicationVersionsResponse, error) {
	list, next, err := l.svcCtx.Medications.Versions(l.ctx, l.svcCtx.Subjects, in)
	if err != nil {
		return nil, err
	}
	out, err := records.Each(list, message.RecordOut)
	return &medicationpb.ListMedicationVersionsResponse{Versions: out, NextPageToken: next}, err
}
