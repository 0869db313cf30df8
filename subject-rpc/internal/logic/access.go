package logic

import (
	"context"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/accounts"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	"clinsource/internal/subjects"
	accesspb "clinsource/proto/access"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/internal/svc"
)

// maxGrantSites bounds the sites that one grant names.
const maxGrantSites = 100

// checkSub checks the name of an account.
func checkSub(check *ident.Checker, sub string) {
	if sub == "" {
		check.Required("sub", sub)
	} else if !auth.ValidSubject(sub) {
		*check = append(*check, fault.Violation{Field: "sub", Rule: "account.malformed",
			Message: "must be the sub of the account's tokens: 1 to 255 bytes of UTF-8 without control characters"})
	}
}

// mayGrant decides whether the caller may see or change grants in the project, or
// without one those of admins of all. An admin who is confined to some sites may
// not: what they would grant could reach beyond.
func mayGrant(ctx context.Context, do auth.Action, project string) (auth.Scope, error) {
	scope, err := subjects.InProject(ctx, do, auth.Grants, project)
	if err != nil {
		return scope, err
	}
	if !scope.AllSites || len(scope.Except) > 0 {
		return scope, fault.Denied(fault.ReasonRoleForbids, "a role confined to some sites does not allow to "+string(do)+" grants")
	}
	return scope, nil
}

// grantProjects lists the projects of which the caller may do this to grants; all
// is for every one. It refuses who may nowhere.
func grantProjects(ctx context.Context, do auth.Action) (all bool, projects []string, scope auth.Scope, err error) {
	if scope, err = mayGrant(ctx, do, ""); err == nil {
		return true, nil, scope, nil
	}
	for _, own := range auth.UserFrom(ctx).Projects() {
		if in, refusal := mayGrant(ctx, do, own); refusal == nil {
			projects, scope = append(projects, own), in
		} else {
			err = refusal
		}
	}
	if len(projects) > 0 {
		err = nil
	}
	return false, projects, scope, err
}

// mayAccounts decides whether the caller may change accounts.
func mayAccounts(ctx context.Context) (auth.Scope, error) {
	scope, ok := auth.UserFrom(ctx).May(auth.Write, auth.Accounts, "")
	if !ok {
		return scope, fault.Denied(fault.ReasonRoleForbids, "only an admin without a project may disable or enable an account: it concerns all projects")
	}
	return scope, nil
}

// tellAccess makes a change of who may do what count: here at once, and in the other
// processes as soon as they hear of it.
func tellAccess(ctx context.Context, svcCtx *svc.ServiceContext) {
	svcCtx.Accounts.Age()
	if err := svcCtx.Signal(ctx, accounts.Changed); err != nil {
		logx.Errorf("tell of a change of access, it takes effect in the other processes when their answers age (%v): %v", accounts.MaxAge, err)
	}
}

func grantOut(g store.Grant) *accesspb.Grant {
	out := &accesspb.Grant{
		GrantId: g.ID, Issuer: g.Issuer, Sub: g.Sub, Role: string(g.Role), ProjectId: g.Project, SiteIds: g.Sites, PatientId: g.Patient,
		GrantedBy: g.By, GrantedTime: timestamppb.New(g.Granted), RevokedBy: g.RevokedBy, AccountDisabled: g.Disabled,
	}
	out.Reason = g.Reason
	if !g.Until.IsZero() {
		out.UntilTime = timestamppb.New(g.Until)
	}
	if !g.Revoked.IsZero() {
		out.RevokedTime = timestamppb.New(g.Revoked)
	}
	return out
}

// setAccount disables or enables the account for the caller.
func setAccount(ctx context.Context, svcCtx *svc.ServiceContext, sub, reason string, disabled bool) (*accesspb.Account, bool, error) {
	var check ident.Checker
	checkSub(&check, sub)
	check.Text("reason", reason, maxReason)
	if err := check.Err(); err != nil {
		return nil, false, err
	}
	scope, err := mayAccounts(ctx)
	if err != nil {
		return nil, false, err
	}
	if disabled && sub == auth.UserFrom(ctx).Subject {
		return nil, false, fault.Precondition(fault.ReasonAdminLockout, "nobody disables their own account: let another admin do it")
	}
	state, out, err := svcCtx.Registry.SetAccount(ctx, sub, disabled, reason, scope.Role)
	if err != nil {
		return nil, false, err
	}
	tellAccess(ctx, svcCtx)
	a := &accesspb.Account{Sub: sub, Disabled: state.Disabled, Reason: state.Reason, ChangedBy: state.By}
	if !state.At.IsZero() {
		a.ChangedTime = timestamppb.New(state.At)
	}
	return a, out == store.Created, nil
}
