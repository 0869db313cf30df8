package logic

import (
	"context"

	"clinsource/internal/records"
	recordpb "clinsource/proto/record"
	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/message"
	"clinsource/vitals-rpc/internal/svc"
)

// ListVitalsVersionsLogic does one ListVitalsVersions call.
type ListVitalsVersionsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListVitalsVersionsLogic makes the logic of one call.
func NewListVitalsVersionsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListVitalsVersionsLogic {
	return &ListVitalsVersionsLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListVitalsVersions lists all versions of a record, the first one first.
func (l *ListVitalsVersionsLogic) ListVitalsVersions(in *recordpb.ListRecordVersionsRequest) (*vitalspb.ListVitalsVersionsResponse, error) {
	list, next, err := l.svcCtx.Store.Versions(l.ctx, l.svcCtx.Subjects, in)
	if err != nil {
		return nil, err
	}
	out, err := records.Each(list, message.RecordOut)
	return &vitalspb.ListVitalsVersionsResponse{Versions: out, NextPageToken: next}, err
}
