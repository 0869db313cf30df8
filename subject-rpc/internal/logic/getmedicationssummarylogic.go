package logic

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/ident"
	medicationpb "clinsource/proto/medication"
	"clinsource/subject-rpc/internal/message"
	"clinsource/subject-rpc/internal/svc"
)

// GetMedicationsSummaryLogic does one GetMedicationsSummary call.
type GetMedicationsSummaryLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetMedicationsSummaryLogic makes the logic of one call.
func NewGetMedicationsSummaryLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetMedicationsSummaryLogic {
	return &GetMedicationsSummaryLogic{ctx: ctx, svcCtx: svcCtx}
}

// GetMedicationsSummary counts a project's records, or one patient's.
func (l *GetMedicationsSummaryLogic) GetMedicationsSummary(in *medicationpb.GetMedicationsSummaryRequest) (*medicationpb.GetMedicationsSummaryResponse, error) {
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	check.Optional("patient_id", in.GetPatientId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	sum, err := l.svcCtx.Medications.SummaryOf(l.ctx, l.svcCtx.Subjects, in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, err
	}
	resp := &medicationpb.GetMedicationsSummaryResponse{
		Count: sum.Records, Subjects: sum.Subjects, Queried: sum.Queried, Ongoing: sum.Tallies[message.TallyOngoing],
	}
	if !sum.Newest.IsZero() {
		resp.NewestTime = timestamppb.New(sum.Newest)
	}
	return resp, nil
}
