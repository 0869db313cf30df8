package logic

import (
	"context"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/internal/svc"
)

// CreateProjectLogic does one CreateProject call.
type CreateProjectLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewCreateProjectLogic makes the logic of one call.
func NewCreateProjectLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CreateProjectLogic {
	return &CreateProjectLogic{ctx: ctx, svcCtx: svcCtx}
}

// CreateProject creates a project; only an admin may.
func (l *CreateProjectLogic) CreateProject(in *subjectpb.CreateProjectRequest) (*subjectpb.CreateProjectResponse, error) {
	if !auth.UserFrom(l.ctx).MayCreateProjects() {
		return nil, fault.Denied(fault.ReasonRoleForbids, "only an admin may create a project")
	}
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	check.Text("title", in.GetTitle(), maxName)
	if err := check.Err(); err != nil {
		return nil, err
	}
	p, out, err := l.svcCtx.Registry.CreateProject(l.ctx, store.Project{ID: in.GetProjectId(), Title: in.GetTitle()}, auth.Admin)
	if err != nil {
		return nil, err
	}
	if err := refused(out, "project_id"); err != nil {
		return nil, err
	}
	return &subjectpb.CreateProjectResponse{Project: projectOut(p), Created: out == store.Created}, nil
}
