package logic_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/sqldb"
	accesspb "clinsource/proto/access"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/svc"
)

const hospital = "https://login.hospital.example"

// named is the context of a call by the hospital's account.
func named(t *testing.T, sub string, grants ...auth.Grant) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return auth.WithUser(ctx, &auth.User{Issuer: hospital, Subject: sub, Grants: grants})
}

func createGrant(ctx context.Context, s *svc.ServiceContext, in *accesspb.CreateGrantRequest) (*accesspb.CreateGrantResponse, error) {
	return logic.NewCreateGrantLogic(ctx, s).CreateGrant(in)
}

func revokeGrant(ctx context.Context, s *svc.ServiceContext, id string) (*accesspb.Grant, error) {
	resp, err := logic.NewRevokeGrantLogic(ctx, s).RevokeGrant(&accesspb.RevokeGrantRequest{GrantId: id})
	return resp.GetGrant(), err
}

func disable(ctx context.Context, s *svc.ServiceContext, sub string) (*accesspb.DisableAccountResponse, error) {
	return logic.NewDisableAccountLogic(ctx, s).DisableAccount(&accesspb.DisableAccountRequest{Sub: sub, Reason: "left"})
}

// listed gives the grants as "sub role project/sites".
func listed(t *testing.T, ctx context.Context, s *svc.ServiceContext, in *accesspb.ListGrantsRequest) (lines []string) {
	t.Helper()
	for token := ""; ; {
		in.PageToken = token
		resp, err := logic.NewListGrantsLogic(ctx, s).ListGrants(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range resp.GetGrants() {
			line := fmt.Sprintf("%s %s %s/%s", g.GetSub(), g.GetRole(), g.GetProjectId(), strings.Join(g.GetSiteIds(), ","))
			if g.GetRevokedTime() != nil {
				line += " revoked by " + g.GetRevokedBy()
			}
			if g.GetAccountDisabled() {
				line += " disabled"
			}
			if g.GetGrantedBy() == "" || g.GetGrantedTime() == nil {
				t.Errorf("%s: granted by %q at %v", line, g.GetGrantedBy(), g.GetGrantedTime())
			}
			lines = append(lines, line)
		}
		if token = resp.GetNextPageToken(); token == "" {
			return lines
		}
	}
}

func may(t *testing.T, s *svc.ServiceContext, sub string, do auth.Action, what auth.Kind, project, site string) bool {
	t.Helper()
	u, err := auth.Resolve(named(t, sub), s.Accounts, &auth.User{Issuer: hospital, Subject: sub})
	if err != nil {
		if fault.From(err).Reason != fault.ReasonAccountDisabled {
			t.Error(err)
		}
		return false
	}
	scope, ok := u.May(do, what, project)
	return ok && scope.Covers(site, scope.Patient)
}

// TestALifeOfAGrant: given, found again, in effect at once, revoked at once, and
// all of it on record.
//
// Shows R20, R24, R28.
func TestALifeOfAGrant(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		boss := named(t, "boss", auth.Grant{Role: auth.Admin, Project: "trial"})
		in := &accesspb.CreateGrantRequest{Sub: "a|b/c:d@e", Role: "coordinator", ProjectId: "trial", SiteIds: []string{"s2", "s1", "s2"}}
		if may(t, s, in.GetSub(), auth.Write, auth.Vitals, "trial", "s1") {
			t.Error("somebody may before they are granted")
		}
		first, err := createGrant(boss, s, in)
		if err != nil || !first.GetCreated() || first.GetGrant().GetIssuer() != hospital {
			t.Fatal(first, err)
		}
		in.SiteIds = []string{"s1", "s2"}
		again, err := createGrant(boss, s, in)
		if err != nil || again.GetCreated() || again.GetGrant().GetGrantId() != first.GetGrant().GetGrantId() {
			t.Errorf("a resend: %v, %v", again, err)
		}
		if !may(t, s, in.GetSub(), auth.Write, auth.Vitals, "trial", "s1") || may(t, s, in.GetSub(), auth.Write, auth.Vitals, "elsewhere", "s1") {
			t.Error("the grant does not count as it says")
		}
		other := named(t, in.GetSub())
		auth.UserFrom(other).Issuer = auth.DevIssuer
		if a, err := s.Accounts.Account(other, auth.DevIssuer, in.GetSub()); err != nil || len(a.Grants) != 0 {
			t.Errorf("another issuer's account of the same name has %v, %v", a, err)
		}
		id := first.GetGrant().GetGrantId()
		gone, err := revokeGrant(boss, s, id)
		if err != nil || gone.GetRevokedBy() != "boss" {
			t.Fatal(gone, err)
		}
		if may(t, s, in.GetSub(), auth.Read, auth.Vitals, "trial", "s1") {
			t.Error("a revoked grant counts")
		}
		if twice, err := revokeGrant(boss, s, id); err != nil || !twice.GetRevokedTime().AsTime().Equal(gone.GetRevokedTime().AsTime()) {
			t.Errorf("revoked twice: %v, %v", twice, err)
		}
		if anew, err := createGrant(boss, s, in); err != nil || !anew.GetCreated() {
			t.Errorf("granted anew: %v, %v", anew, err)
		}
		want := []string{"a|b/c:d@e coordinator trial/s1,s2 revoked by boss", "a|b/c:d@e coordinator trial/s1,s2"}
		if got := listed(t, boss, s, &accesspb.ListGrantsRequest{ProjectId: "trial", IncludeRevoked: true, PageSize: 1}); !slices.Equal(got, want) {
			t.Errorf("the review says %q", got)
		}
		if got := listed(t, boss, s, &accesspb.ListGrantsRequest{}); !slices.Equal(got, want[1:]) {
			t.Errorf("the review of what is in force says %q", got)
		}
		for _, change := range []string{`UPDATE grants SET role = 'admin'`, `DELETE FROM grants`} {
			err := s.Medications.DB().Write(boss, func(tx *sqldb.Tx) error { _, err := tx.Exec(boss, change); return err })
			if err == nil {
				t.Errorf("the database takes %s", change)
			}
		}
	})
}

// TestWhoMayGrant: admins of the project in it, admins without one everywhere, and
// nobody to themselves.
//
// Shows R20.
func TestWhoMayGrant(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		ofTrial := auth.Grant{Role: auth.Admin, Project: "trial"}
		for name, c := range map[string]struct {
			by     []auth.Grant
			in     *accesspb.CreateGrantRequest
			code   codes.Code
			reason string
		}{
			"admin of it":        {[]auth.Grant{ofTrial}, &accesspb.CreateGrantRequest{Sub: "x", Role: "admin", ProjectId: "trial"}, codes.OK, ""},
			"admin of another":   {[]auth.Grant{ofTrial}, &accesspb.CreateGrantRequest{Sub: "x", Role: "monitor", ProjectId: "elsewhere"}, codes.PermissionDenied, fault.ReasonNoGrant},
			"admin of all":       {[]auth.Grant{setup}, &accesspb.CreateGrantRequest{Sub: "x", Role: "admin", ProjectId: "elsewhere"}, codes.OK, ""},
			"more than they are": {[]auth.Grant{ofTrial}, &accesspb.CreateGrantRequest{Sub: "x", Role: "admin"}, codes.PermissionDenied, fault.ReasonNoGrant},
			"another of all":     {[]auth.Grant{setup}, &accesspb.CreateGrantRequest{Sub: "x", Role: "admin"}, codes.OK, ""},
			"investigator":       {[]auth.Grant{investigator}, &accesspb.CreateGrantRequest{Sub: "x", Role: "monitor", ProjectId: "trial"}, codes.PermissionDenied, fault.ReasonRoleForbids},
			"admin of one site":  {[]auth.Grant{{Role: auth.Admin, Project: "trial", Sites: []string{"s1"}}}, &accesspb.CreateGrantRequest{Sub: "x", Role: "monitor", ProjectId: "trial"}, codes.PermissionDenied, fault.ReasonRoleForbids},
			"nobody":             {nil, &accesspb.CreateGrantRequest{Sub: "x", Role: "monitor", ProjectId: "trial"}, codes.PermissionDenied, fault.ReasonNoGrant},
			"to themselves":      {[]auth.Grant{setup}, &accesspb.CreateGrantRequest{Sub: "me", Role: "investigator", ProjectId: "trial"}, codes.PermissionDenied, fault.ReasonRoleForbids},
			"a namesake":         {[]auth.Grant{setup}, &accesspb.CreateGrantRequest{Issuer: "other", Sub: "me", Role: "monitor", ProjectId: "trial"}, codes.OK, ""},
			"no such project":    {[]auth.Grant{setup}, &accesspb.CreateGrantRequest{Sub: "x", Role: "monitor", ProjectId: "planned"}, codes.NotFound, fault.ReasonProjectNotFound},
			"no such site":       {[]auth.Grant{ofTrial}, &accesspb.CreateGrantRequest{Sub: "x", Role: "monitor", ProjectId: "trial", SiteIds: []string{"s9"}}, codes.NotFound, fault.ReasonSiteNotFound},
			"another's patient":  {[]auth.Grant{ofTrial}, &accesspb.CreateGrantRequest{Sub: "x", Role: "patient", ProjectId: "trial", PatientId: "other"}, codes.NotFound, fault.ReasonSubjectNotFound},
			"a patient":          {[]auth.Grant{ofTrial}, &accesspb.CreateGrantRequest{Sub: "x", Role: "patient", ProjectId: "trial", PatientId: "p1"}, codes.OK, ""},
		} {
			_, err := createGrant(named(t, "me", c.by...), s, c.in)
			if c.code == codes.OK {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if f := fault.From(err); f == nil || f.Code != c.code || f.Reason != c.reason {
				t.Errorf("%s: %v, want %s %s", name, err, c.code, c.reason)
			}
		}
		_, err := createGrant(named(t, "me", setup), s, &accesspb.CreateGrantRequest{Sub: "a\n", Role: "boss", SiteIds: []string{"/"}, PatientId: "p"})
		want := "patient_id grant.patient\nproject_id identifier.required\nrole grant.role\nsite_ids identifier.malformed\nsub account.malformed"
		if got := fields(err); got != want {
			t.Errorf("got %s", got)
		}
	})
}

// Shows R20.
func TestWhoMaySeeAndRevokeGrants(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		all := named(t, "all", setup)
		ids := map[string]string{}
		for _, project := range []string{"trial", "elsewhere", ""} {
			role := "monitor"
			if project == "" {
				role = "admin"
			}
			resp, err := createGrant(all, s, &accesspb.CreateGrantRequest{Sub: "x", Role: role, ProjectId: project})
			if err != nil {
				t.Fatal(err)
			}
			ids[project] = resp.GetGrant().GetGrantId()
		}
		ofTrial := named(t, "boss", auth.Grant{Role: auth.Admin, Project: "trial"})
		if got := listed(t, ofTrial, s, &accesspb.ListGrantsRequest{}); !slices.Equal(got, []string{"x monitor trial/"}) {
			t.Errorf("an admin of trial sees %q", got)
		}
		if got := listed(t, all, s, &accesspb.ListGrantsRequest{Sub: "x"}); len(got) != 3 {
			t.Errorf("an admin of all sees %q", got)
		}
		for _, project := range []string{"elsewhere", ""} {
			_, err := revokeGrant(ofTrial, s, ids[project])
			wantFault(t, err, codes.NotFound, fault.ReasonGrantNotFound)
		}
		_, err := revokeGrant(ofTrial, s, "nothing")
		wantFault(t, err, codes.NotFound, fault.ReasonGrantNotFound)
		for _, nobody := range []context.Context{named(t, "i", investigator), named(t, "n")} {
			_, err := revokeGrant(nobody, s, ids["trial"])
			if f := fault.From(err); f == nil || f.Code != codes.PermissionDenied {
				t.Errorf("%v", err)
			}
			_, err = logic.NewListGrantsLogic(nobody, s).ListGrants(&accesspb.ListGrantsRequest{})
			if f := fault.From(err); f == nil || f.Code != codes.PermissionDenied {
				t.Errorf("%v", err)
			}
		}
	})
}

// TestNobodyLocksThemselvesOut: the last admin stays one until there is another.
func TestNobodyLocksThemselvesOut(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		all := named(t, "all", setup)
		grantTo := func(sub string) string {
			resp, err := createGrant(all, s, &accesspb.CreateGrantRequest{Sub: sub, Role: "admin", ProjectId: "trial"})
			if err != nil {
				t.Fatal(err)
			}
			return resp.GetGrant().GetGrantId()
		}
		first := grantTo("first")
		self := named(t, "first", auth.Grant{Role: auth.Admin, Project: "trial"})
		_, err := revokeGrant(self, s, first)
		wantFault(t, err, codes.FailedPrecondition, fault.ReasonAdminLockout)
		grantTo("second")
		if _, err := disable(all, s, "second"); err != nil {
			t.Fatal(err)
		}
		_, err = revokeGrant(self, s, first) // The other one is disabled.
		wantFault(t, err, codes.FailedPrecondition, fault.ReasonAdminLockout)
		grantTo("third")
		if _, err := revokeGrant(self, s, first); err != nil {
			t.Error(err)
		}
		_, err = disable(all, s, "all")
		wantFault(t, err, codes.FailedPrecondition, fault.ReasonAdminLockout)
		_, err = disable(self, s, "third")
		wantFault(t, err, codes.PermissionDenied, fault.ReasonRoleForbids)
	})
}

// Shows R24.
func TestADisabledAccountMayNothing(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		all := named(t, "all", setup)
		if _, err := createGrant(all, s, &accesspb.CreateGrantRequest{Sub: "x", Role: "monitor", ProjectId: "trial"}); err != nil {
			t.Fatal(err)
		}
		if !may(t, s, "x", auth.Read, auth.Vitals, "trial", "s1") {
			t.Error("the grant does not count")
		}
		for i, created := range []bool{true, false} {
			resp, err := disable(all, s, "x")
			if err != nil || resp.GetCreated() != created || !resp.GetAccount().GetDisabled() || resp.GetAccount().GetChangedBy() != "all" {
				t.Errorf("disabled, %d: %v, %v", i, resp, err)
			}
		}
		if may(t, s, "x", auth.Read, auth.Vitals, "trial", "s1") {
			t.Error("a disabled account may read")
		}
		if got := listed(t, all, s, &accesspb.ListGrantsRequest{}); !slices.Equal(got, []string{"x monitor trial/ disabled"}) {
			t.Errorf("the review says %q", got)
		}
		resp, err := logic.NewEnableAccountLogic(all, s).EnableAccount(&accesspb.EnableAccountRequest{Sub: "x"})
		if err != nil || !resp.GetCreated() || resp.GetAccount().GetDisabled() || !may(t, s, "x", auth.Read, auth.Vitals, "trial", "s1") {
			t.Errorf("enabled again: %v, %v", resp, err)
		}
	})
}

func TestAccessIsAudited(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		all := named(t, "all", setup)
		resp, err := createGrant(all, s, &accesspb.CreateGrantRequest{Sub: "x", Role: "patient", ProjectId: "trial", PatientId: "p1"})
		if err != nil {
			t.Fatal(err)
		}
		listed(t, all, s, &accesspb.ListGrantsRequest{ProjectId: "trial"})
		if _, err := revokeGrant(all, s, resp.GetGrant().GetGrantId()); err != nil {
			t.Fatal(err)
		}
		if _, err := disable(all, s, "x"); err != nil {
			t.Fatal(err)
		}
		rows, err := s.Medications.DB().Query(all, `SELECT action, kind, role, project_id, patient_id, version, records, actor FROM audit_events
 WHERE kind IN ('grants', 'accounts') ORDER BY seq`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var got []string
		for rows.Next() {
			var action, kind, role, project, patient, actor string
			var version, n int64
			if err := rows.Scan(&action, &kind, &role, &project, &patient, &version, &n, &actor); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s %s %s %s/%s v%d %d %s", action, kind, role, project, patient, version, n, actor))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		want := []string{"grant grants admin trial/p1 v1 0 all", "list grants admin trial/ v0 1 all", "revoke grants admin trial/p1 v2 0 all", "disable accounts admin / v1 0 all"}
		if !slices.Equal(got, want) {
			t.Errorf("audit rows %q", got)
		}
	})
}

// TestEmergencyAccess: who treats subjects opens the whole project to their own
// reading, with a reason and for a time; nobody grants it.
//
// Shows R26.
func TestEmergencyAccess(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		coordinator := auth.Grant{Role: auth.Coordinator, Project: "trial", Sites: []string{"s1"}}
		take := func(sub string, in *accesspb.TakeEmergencyAccessRequest, own ...auth.Grant) (*accesspb.TakeEmergencyAccessResponse, error) {
			return logic.NewTakeEmergencyAccessLogic(named(t, sub, own...), s).TakeEmergencyAccess(in)
		}
		why := "brought in unconscious"
		for name, c := range map[string]struct {
			in   *accesspb.TakeEmergencyAccessRequest
			own  []auth.Grant
			code codes.Code
		}{
			"a monitor":         {&accesspb.TakeEmergencyAccessRequest{ProjectId: "trial", Reason: why}, []auth.Grant{{Role: auth.Monitor, Project: "trial"}}, codes.PermissionDenied},
			"of no project":     {&accesspb.TakeEmergencyAccessRequest{ProjectId: "trial", Reason: why}, nil, codes.PermissionDenied},
			"another project":   {&accesspb.TakeEmergencyAccessRequest{ProjectId: "elsewhere", Reason: why}, []auth.Grant{coordinator}, codes.PermissionDenied},
			"no reason":         {&accesspb.TakeEmergencyAccessRequest{ProjectId: "trial"}, []auth.Grant{coordinator}, codes.InvalidArgument},
			"an empty reason":   {&accesspb.TakeEmergencyAccessRequest{ProjectId: "trial", Reason: "n/a"}, []auth.Grant{coordinator}, codes.InvalidArgument},
			"for ever":          {&accesspb.TakeEmergencyAccessRequest{ProjectId: "trial", Reason: why, Minutes: 241}, []auth.Grant{coordinator}, codes.InvalidArgument},
			"for less than now": {&accesspb.TakeEmergencyAccessRequest{ProjectId: "trial", Reason: why, Minutes: -1}, []auth.Grant{coordinator}, codes.InvalidArgument},
		} {
			if _, err := take("nurse", c.in, c.own...); fault.From(err) == nil || fault.From(err).Code != c.code {
				t.Errorf("%s: %v", name, err)
			}
		}
		if may(t, s, "nurse", auth.Read, auth.Vitals, "trial", "s2") {
			t.Error("refusals have opened the project")
		}
		begun := time.Now()
		first, err := take("nurse", &accesspb.TakeEmergencyAccessRequest{ProjectId: "trial", Reason: why, Minutes: 30}, coordinator)
		if err != nil || !first.GetCreated() {
			t.Fatalf("%v, %v", first, err)
		}
		if until := first.GetGrant().GetUntilTime().AsTime().Sub(begun); until < 29*time.Minute || until > 31*time.Minute || first.GetGrant().GetReason() != why {
			t.Errorf("it is %v", first.GetGrant())
		}
		again, err := take("nurse", &accesspb.TakeEmergencyAccessRequest{ProjectId: "trial", Reason: "once more, to be sure"}, coordinator)
		if err != nil || again.GetCreated() || again.GetGrant().GetGrantId() != first.GetGrant().GetGrantId() {
			t.Errorf("taken again it is %v, %v", again, err)
		}
		for _, what := range []auth.Kind{auth.Subjects, auth.Vitals, auth.Images, auth.Reports, auth.Medications} {
			if !may(t, s, "nurse", auth.Read, what, "trial", "s2") {
				t.Errorf("%s of another site stay closed", what)
			}
			if may(t, s, "nurse", auth.Write, what, "trial", "s2") || may(t, s, "nurse", auth.Amend, what, "trial", "s2") {
				t.Errorf("%s of another site can be written", what)
			}
		}
		if may(t, s, "nurse", auth.Read, auth.Grants, "trial", "s2") || may(t, s, "other", auth.Read, auth.Vitals, "trial", "s2") {
			t.Error("it opens more, or to others")
		}
		u, err := auth.Resolve(named(t, "nurse"), auth.AccountSourceFunc(func(context.Context, string, string) (auth.Account, error) {
			return auth.Account{Grants: []auth.Grant{{Role: auth.Emergency, Project: "trial", Until: time.Now()}}}, nil
		}), &auth.User{Issuer: hospital, Subject: "nurse"})
		if err != nil || u.CanAccess("trial") {
			t.Errorf("it outlives its time: %v, %v", u, err)
		}
		admin := named(t, "boss", auth.Grant{Role: auth.Admin, Project: "trial"})
		if _, err := createGrant(admin, s, &accesspb.CreateGrantRequest{Sub: "nurse", Role: "emergency", ProjectId: "trial"}); fault.From(err) == nil || fault.From(err).Code != codes.InvalidArgument {
			t.Errorf("an admin grants it: %v", err)
		}
		if _, err := revokeGrant(admin, s, first.GetGrant().GetGrantId()); err != nil {
			t.Fatal(err)
		}
		if may(t, s, "nurse", auth.Read, auth.Vitals, "trial", "s2") {
			t.Error("it outlives its revocation")
		}
	})
}
