package logic

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/ident"
	accesspb "clinsource/proto/access"
	"clinsource/subject-rpc/internal/svc"
)

// ResolveAccountLogic does one ResolveAccount call.
type ResolveAccountLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewResolveAccountLogic makes the logic of one call.
func NewResolveAccountLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ResolveAccountLogic {
	return &ResolveAccountLogic{ctx: ctx, svcCtx: svcCtx}
}

// ResolveAccount says what an account may do, as it is stored now. The list of
// peers is its only guard; it is asked on behalf of calls that are audited
// themselves.
func (l *ResolveAccountLogic) ResolveAccount(in *accesspb.ResolveAccountRequest) (*accesspb.ResolveAccountResponse, error) {
	var check ident.Checker
	checkSub(&check, in.GetSub())
	check.Text("issuer", in.GetIssuer(), 512)
	if err := check.Err(); err != nil {
		return nil, err
	}
	a, err := l.svcCtx.Registry.Account(l.ctx, in.GetIssuer(), in.GetSub())
	if err != nil {
		return nil, err
	}
	resp := &accesspb.ResolveAccountResponse{Disabled: a.Disabled, Rights: &accesspb.Rights{}}
	for _, g := range a.Grants {
		out := &accesspb.AccountGrant{Role: string(g.Role), ProjectId: g.Project, SiteIds: g.Sites, PatientId: g.Patient}
		if !g.Until.IsZero() {
			out.UntilTime = timestamppb.New(g.Until)
		}
		resp.Rights.Grants = append(resp.Rights.Grants, out)
	}
	return resp, nil
}
