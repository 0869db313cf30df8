package logic

import (
	"context"

	"clinsource/internal/auth"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/svc"
)

// ListSubjectsLogic does one ListSubjects call.
type ListSubjectsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListSubjectsLogic makes the logic of one call.
func NewListSubjectsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListSubjectsLogic {
	return &ListSubjectsLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListSubjects lists the subjects that the caller may see.
func (l *ListSubjectsLogic) ListSubjects(in *subjectpb.ListSubjectsRequest) (*subjectpb.ListSubjectsResponse, error) {
	scope, p, err := listIn(l.ctx, l.svcCtx, auth.Subjects, in)
	if err != nil {
		return nil, err
	}
	list, next, err := l.svcCtx.Registry.Subjects(l.ctx, scope, p)
	if err != nil {
		return nil, err
	}
	resp := &subjectpb.ListSubjectsResponse{NextPageToken: next}
	for _, t := range list {
		resp.Subjects = append(resp.Subjects, subjectOut(t))
	}
	return resp, nil
}
