package logic

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/dicom-rpc/internal/store"
	"clinsource/dicom-rpc/internal/svc"
	"clinsource/internal/ident"
	dicompb "clinsource/proto/dicom"
)

// GetImagesSummaryLogic does one GetImagesSummary call.
type GetImagesSummaryLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetImagesSummaryLogic makes the logic of one call.
func NewGetImagesSummaryLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetImagesSummaryLogic {
	return &GetImagesSummaryLogic{ctx: ctx, svcCtx: svcCtx}
}

// GetImagesSummary counts a project's images, or one patient's.
func (l *GetImagesSummaryLogic) GetImagesSummary(in *dicompb.GetImagesSummaryRequest) (*dicompb.GetImagesSummaryResponse, error) {
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
	resp := &dicompb.GetImagesSummaryResponse{
		Count: sum.Records, Subjects: sum.Subjects, Queried: sum.Queried, Size: uint64(sum.Tallies[store.TallyBytes]),
	}
	if !sum.Newest.IsZero() {
		resp.NewestTime = timestamppb.New(sum.Newest)
	}
	return resp, nil
}
