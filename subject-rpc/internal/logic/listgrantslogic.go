package logic

import (
	"context"
	"strconv"

	"clinsource/internal/auth"
	"clinsource/internal/ident"
	"clinsource/internal/page"
	accesspb "clinsource/proto/access"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/internal/svc"
)

// ListGrantsLogic does one ListGrants call.
type ListGrantsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListGrantsLogic makes the logic of one call.
func NewListGrantsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListGrantsLogic {
	return &ListGrantsLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListGrants lists who may do what, where the caller may see that.
func (l *ListGrantsLogic) ListGrants(in *accesspb.ListGrantsRequest) (*accesspb.ListGrantsResponse, error) {
	var check ident.Checker
	check.Optional("project_id", in.GetProjectId())
	if in.GetSub() != "" {
		checkSub(&check, in.GetSub())
	}
	if err := check.Err(); err != nil {
		return nil, err
	}
	p, err := page.Parse(in.GetPageSize(), in.GetPageToken(), "grants", auth.UserFrom(l.ctx).Subject, in.GetProjectId(), in.GetSub(),
		strconv.FormatBool(in.GetIncludeRevoked()))
	if err != nil {
		return nil, err
	}
	which, role, err := l.admit(in.GetProjectId())
	if err != nil {
		return nil, err
	}
	which.Sub, which.Revoked = in.GetSub(), in.GetIncludeRevoked()
	list, next, err := l.svcCtx.Registry.Grants(l.ctx, which, p, role)
	if err != nil {
		return nil, err
	}
	resp := &accesspb.ListGrantsResponse{NextPageToken: next}
	for _, g := range list {
		resp.Grants = append(resp.Grants, grantOut(g))
	}
	return resp, nil
}

func (l *ListGrantsLogic) admit(project string) (store.GrantFilter, auth.Role, error) {
	if project != "" {
		scope, err := mayGrant(l.ctx, auth.Read, project)
		if err != nil {
			return store.GrantFilter{}, scope.Role, err
		}
		_, found, err := l.svcCtx.Registry.Project(l.ctx, project)
		if err == nil && !found {
			err = refused(store.NoProject, "project_id")
		}
		return store.GrantFilter{Projects: []string{project}}, scope.Role, err
	}
	all, projects, scope, err := grantProjects(l.ctx, auth.Read)
	return store.GrantFilter{All: all, Projects: projects}, scope.Role, err
}
