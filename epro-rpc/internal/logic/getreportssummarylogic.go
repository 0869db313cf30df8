package logic

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/epro-rpc/internal/message"
	"clinsource/epro-rpc/internal/svc"
	"clinsource/internal/ident"
	epropb "clinsource/proto/epro"
)

// GetReportsSummaryLogic does one GetReportsSummary call.
type GetReportsSummaryLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetReportsSummaryLogic makes the logic of one call.
func NewGetReportsSummaryLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetReportsSummaryLogic {
	return &GetReportsSummaryLogic{ctx: ctx, svcCtx: svcCtx}
}

// GetReportsSummary counts a project's reports, or one patient's.
func (l *GetReportsSummaryLogic) GetReportsSummary(in *epropb.GetReportsSummaryRequest) (*epropb.GetReportsSummaryResponse, error) {
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
	resp := &epropb.GetReportsSummaryResponse{
		Count: sum.Records, Subjects: sum.Subjects, Queried: sum.Queried, Questionnaires: message.Questionnaires(sum.Tallies),
	}
	if !sum.Newest.IsZero() {
		resp.NewestTime = timestamppb.New(sum.Newest)
	}
	return resp, nil
}
