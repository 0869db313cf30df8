package logic

import (
	"context"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	"clinsource/internal/subjects"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/internal/svc"
)

// CreateSiteLogic does one CreateSite call.
type CreateSiteLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewCreateSiteLogic makes the logic of one call.
func NewCreateSiteLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CreateSiteLogic {
	return &CreateSiteLogic{ctx: ctx, svcCtx: svcCtx}
}

// CreateSite creates a site; whoever is confined to some sites may not.
func (l *CreateSiteLogic) CreateSite(in *subjectpb.CreateSiteRequest) (*subjectpb.CreateSiteResponse, error) {
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	check.Required("site_id", in.GetSiteId())
	check.Text("name", in.GetName(), maxName)
	if err := check.Err(); err != nil {
		return nil, err
	}
	scope, err := subjects.InProject(l.ctx, auth.Write, auth.Sites, in.GetProjectId())
	if err != nil {
		return nil, err
	}
	if !scope.AllSites || !scope.Covers(in.GetSiteId(), scope.Patient) {
		return nil, fault.Denied(fault.ReasonRoleForbids, "a role confined to some sites does not allow to create one")
	}
	site, out, err := l.svcCtx.Registry.CreateSite(l.ctx, store.Site{Project: in.GetProjectId(), ID: in.GetSiteId(), Name: in.GetName()}, scope.Role)
	if err != nil {
		return nil, err
	}
	if err := refused(out, "site_id"); err != nil {
		return nil, err
	}
	return &subjectpb.CreateSiteResponse{Site: siteOut(site), Created: out == store.Created}, nil
}
