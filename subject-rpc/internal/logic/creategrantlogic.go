package logic

import (
	"cmp"
	"context"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	accesspb "clinsource/proto/access"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/internal/svc"
)

// CreateGrantLogic does one CreateGrant call.
type CreateGrantLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewCreateGrantLogic makes the logic of one call.
func NewCreateGrantLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CreateGrantLogic {
	return &CreateGrantLogic{ctx: ctx, svcCtx: svcCtx}
}

// CreateGrant gives an account a role, in a project that the caller rules.
func (l *CreateGrantLogic) CreateGrant(in *accesspb.CreateGrantRequest) (*accesspb.CreateGrantResponse, error) {
	if err := checkGrant(in); err != nil {
		return nil, err
	}
	scope, err := mayGrant(l.ctx, auth.Write, in.GetProjectId())
	if err != nil {
		return nil, err
	}
	by := auth.UserFrom(l.ctx)
	g := store.Grant{
		Issuer: cmp.Or(in.GetIssuer(), by.Issuer), Sub: in.GetSub(),
		Grant: auth.Grant{Role: auth.Role(in.GetRole()), Project: in.GetProjectId(), Sites: in.GetSiteIds(), Patient: in.GetPatientId()},
	}
	if g.Sub == by.Subject && g.Issuer == by.Issuer {
		return nil, fault.Denied(fault.ReasonRoleForbids, "nobody grants a role to themselves: let another admin do it")
	}
	stored, out, err := l.svcCtx.Registry.CreateGrant(l.ctx, g, scope.Role)
	if err != nil {
		return nil, err
	}
	if err := refused(out, "grant_id"); err != nil {
		return nil, err
	}
	tellAccess(l.ctx, l.svcCtx)
	return &accesspb.CreateGrantResponse{Grant: grantOut(stored), GrantId: stored.ID, Created: out == store.Created}, nil
}

// checkGrant gives what is wrong with a grant by itself.
func checkGrant(in *accesspb.CreateGrantRequest) error {
	var check ident.Checker
	checkSub(&check, in.GetSub())
	check.Text("issuer", in.GetIssuer(), 512)
	check.Optional("project_id", in.GetProjectId())
	check.Optional("patient_id", in.GetPatientId())
	for _, site := range in.GetSiteIds() {
		check.Required("site_ids", site)
	}
	role := auth.Role(in.GetRole())
	rule := func(broken bool, field, rule, message string) {
		if broken {
			check = append(check, fault.Violation{Field: field, Rule: rule, Message: message})
		}
	}
	rule(!auth.KnownRole(role), "role", "grant.role",
		"must be admin, investigator, coordinator, data-manager, monitor, partner, device or patient")
	rule(in.GetProjectId() == "" && role != auth.Admin, "project_id", ident.RuleRequired, "is required for every role but admin")
	rule(role == auth.Patient && in.GetPatientId() == "", "patient_id", ident.RuleRequired, "is required for the role patient: whose records are their own")
	rule(role != auth.Patient && in.GetPatientId() != "", "patient_id", "grant.patient", "is for the role patient only")
	rule((role == auth.Admin || role == auth.Patient) && len(in.GetSiteIds()) > 0, "site_ids", "grant.sites", "must be empty for this role")
	rule(len(in.GetSiteIds()) > maxGrantSites, "site_ids", "grant.sites", "must name at most 100 sites; none means all")
	return check.Err()
}
