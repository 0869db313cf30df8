package logic

import (
	"context"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	accesspb "clinsource/proto/access"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/internal/svc"
)

// RevokeGrantLogic does one RevokeGrant call.
type RevokeGrantLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewRevokeGrantLogic makes the logic of one call.
func NewRevokeGrantLogic(ctx context.Context, svcCtx *svc.ServiceContext) *RevokeGrantLogic {
	return &RevokeGrantLogic{ctx: ctx, svcCtx: svcCtx}
}

// RevokeGrant takes back a grant in a project that the caller rules.
func (l *RevokeGrantLogic) RevokeGrant(in *accesspb.RevokeGrantRequest) (*accesspb.RevokeGrantResponse, error) {
	var check ident.Checker
	check.Required("grant_id", in.GetGrantId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	if _, _, _, err := grantProjects(l.ctx, auth.Write); err != nil {
		return nil, err // Before anybody looks whether the grant exists.
	}
	unseen := fault.NotFound(fault.ReasonGrantNotFound, "there is no such grant")
	g, found, err := l.svcCtx.Registry.Grant(l.ctx, in.GetGrantId())
	if err != nil {
		return nil, err
	}
	scope, refusal := mayGrant(l.ctx, auth.Write, g.Project)
	if !found || refusal != nil {
		return nil, unseen
	}
	g, out, err := l.svcCtx.Registry.RevokeGrant(l.ctx, in.GetGrantId(), scope.Role)
	if err != nil {
		return nil, err
	}
	if out == store.LastAdmin {
		return nil, fault.Precondition(fault.ReasonAdminLockout, "no other admin would be left: make one first, or let an admin without a project revoke it")
	}
	tellAccess(l.ctx, l.svcCtx)
	return &accesspb.RevokeGrantResponse{Grant: grantOut(g)}, nil
}
