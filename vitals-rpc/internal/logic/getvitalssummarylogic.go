package logic

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/ident"
	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/message"
	"clinsource/vitals-rpc/internal/svc"
)

// GetVitalsSummaryLogic does one GetVitalsSummary call.
type GetVitalsSummaryLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetVitalsSummaryLogic makes the logic of one call.
func NewGetVitalsSummaryLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetVitalsSummaryLogic {
	return &GetVitalsSummaryLogic{ctx: ctx, svcCtx: svcCtx}
}

// GetVitalsSummary counts a project's records, or one patient's.
func (l *GetVitalsSummaryLogic) GetVitalsSummary(in *vitalspb.GetVitalsSummaryRequest) (*vitalspb.GetVitalsSummaryResponse, error) {
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	check.Optional("patient_id", in.GetPatientId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	sum, err := l.svcCtx.Store.SummaryOf(l.ctx, l.svcCtx.Subjects, in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, err
	}
	resp := &vitalspb.GetVitalsSummaryResponse{
		Count: sum.Records, Subjects: sum.Subjects, Queried: sum.Queried, BloodPressureCategories: message.Categories(sum.Tallies),
	}
	if !sum.Newest.IsZero() {
		resp.NewestTime = timestamppb.New(sum.Newest)
	}
	return resp, nil
}
