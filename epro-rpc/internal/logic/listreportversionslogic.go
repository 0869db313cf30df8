package logic

import (
	"context"

	"clinsource/epro-rpc/internal/message"
	"clinsource/epro-rpc/internal/svc"
	"clinsource/internal/records"
	epropb "clinsource/proto/epro"
	recordpb "clinsource/proto/record"
)

// ListReportVersionsLogic does one ListReportVersions call.
type ListReportVersionsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListReportVersionsLogic makes the logic of one call.
func NewListReportVersionsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListReportVersionsLogic {
	return &ListReportVersionsLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListReportVersions lists all versions of a record, the first one first.
func (l *ListReportVersionsLogic) ListReportVersions(in *recordpb.ListRecordVersionsRequest) (*epropb.ListReportVersionsResponse, error) {
	list, next, err := l.svcCtx.Store.Versions(l.ctx, l.svcCtx.Subjects, in)
	if err != nil {
		return nil, err
	}
	out, err := records.Each(list, message.RecordOut)
	return &epropb.ListReportVersionsResponse{Versions: out, NextPageToken: next}, err
}
