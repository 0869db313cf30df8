package logic

import (
	"context"

	"clinsource/internal/auth"
	"clinsource/internal/page"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/svc"
)

// ListProjectsLogic does one ListProjects call.
type ListProjectsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListProjectsLogic makes the logic of one call.
func NewListProjectsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListProjectsLogic {
	return &ListProjectsLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListProjects lists the projects that the caller has a grant for.
func (l *ListProjectsLogic) ListProjects(in *subjectpb.ListProjectsRequest) (*subjectpb.ListProjectsResponse, error) {
	user := auth.UserFrom(l.ctx)
	p, err := page.Parse(in.GetPageSize(), in.GetPageToken(), "projects", user.Subject)
	if err != nil {
		return nil, err
	}
	list, next, err := l.svcCtx.Registry.Projects(l.ctx, user.SetsUpProjects(), user.Projects(), p, "")
	if err != nil {
		return nil, err
	}
	resp := &subjectpb.ListProjectsResponse{NextPageToken: next}
	for _, project := range list {
		resp.Projects = append(resp.Projects, projectOut(project))
	}
	return resp, nil
}
