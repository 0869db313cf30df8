package auth_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clinsource/internal/auth"
)

func TestGrantsAddUp(t *testing.T) {
	all := auth.Grant{Role: auth.Monitor, Project: "p"}
	s1 := auth.Grant{Role: auth.Coordinator, Project: "p", Sites: []string{"s1"}}
	s2 := auth.Grant{Role: auth.Monitor, Project: "p", Sites: []string{"s2", "s3"}}
	me := auth.Grant{Role: auth.Patient, Project: "p", Patient: "me"}
	cases := map[string]struct {
		do     auth.Action
		grants []auth.Grant
		want   auth.Scope
	}{
		"one site":                  {auth.Read, []auth.Grant{s1}, auth.Scope{Project: "p", Sites: []string{"s1"}, Role: auth.Coordinator}},
		"sites of two grants":       {auth.Read, []auth.Grant{s1, s2}, auth.Scope{Project: "p", Sites: []string{"s1", "s2", "s3"}, Role: auth.Monitor}},
		"only who may write counts": {auth.Write, []auth.Grant{s1, s2}, auth.Scope{Project: "p", Sites: []string{"s1"}, Role: auth.Coordinator}},
		"all sites win":             {auth.Read, []auth.Grant{all, s1}, auth.Scope{Project: "p", AllSites: true, Role: auth.Coordinator}},
		"own records":               {auth.Read, []auth.Grant{me}, auth.Scope{Project: "p", AllSites: true, Patient: "me", Role: auth.Patient}},
		"patient, then monitor":     {auth.Read, []auth.Grant{me, all}, auth.Scope{Project: "p", AllSites: true, Role: auth.Monitor}},
		"monitor, then patient":     {auth.Read, []auth.Grant{all, me}, auth.Scope{Project: "p", AllSites: true, Role: auth.Monitor}},
		"a monitor's own writing":   {auth.Write, []auth.Grant{all, me}, auth.Scope{Project: "p", AllSites: true, Patient: "me", Role: auth.Patient}},
		"patient, then one site":    {auth.Read, []auth.Grant{me, s1}, auth.Scope{Project: "p", Sites: []string{"s1"}, Role: auth.Coordinator}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			u := &auth.User{Grants: c.grants}
			got, ok := u.May(c.do, auth.Vitals, "p")
			if diff := cmp.Diff(c.want, got); !ok || diff != "" {
				t.Errorf("granted %v, -want +got:\n%s", ok, diff)
			}
			if again, _ := u.May(c.do, auth.Vitals, "p"); !cmp.Equal(got, again) {
				t.Errorf("the second decision is %+v: the first has changed the grants", again)
			}
		})
	}
}

func TestAPatientsGrantNamesWhose(t *testing.T) {
	u := &auth.User{Grants: []auth.Grant{{Role: auth.Patient, Project: "p"}}}
	if scope, ok := u.May(auth.Read, auth.Vitals, "p"); ok {
		t.Errorf("a patient who is nobody gets the scope %+v", scope)
	}
}

func TestCovers(t *testing.T) {
	cases := []struct {
		scope         auth.Scope
		site, patient string
		want          bool
	}{
		{auth.Scope{}, "s1", "x", false},
		{auth.Scope{AllSites: true}, "s1", "x", true},
		{auth.Scope{Sites: []string{"s1", "s2"}}, "s2", "x", true},
		{auth.Scope{Sites: []string{"s1"}}, "s2", "x", false},
		{auth.Scope{Sites: []string{"s1"}}, "", "x", false},
		{auth.Scope{AllSites: true, Patient: "x"}, "s1", "x", true},
		{auth.Scope{AllSites: true, Patient: "x"}, "s1", "y", false},
	}
	for _, c := range cases {
		if got := c.scope.Covers(c.site, c.patient); got != c.want {
			t.Errorf("%+v covers (%s, %s): %v", c.scope, c.site, c.patient, got)
		}
	}
}

func TestWhoMaySetUpProjects(t *testing.T) {
	cases := map[string]struct {
		grants              []auth.Grant
		access, create, all bool
	}{
		"admin of all":     {[]auth.Grant{{Role: auth.Admin}}, false, true, true},
		"admin of p":       {[]auth.Grant{{Role: auth.Admin, Project: "p"}}, true, true, false},
		"investigator":     {[]auth.Grant{{Role: auth.Investigator, Project: "p"}}, true, false, false},
		"projectless role": {[]auth.Grant{{Role: auth.Investigator}}, false, false, false},
		"nobody":           {nil, false, false, false},
	}
	for name, c := range cases {
		u := &auth.User{Grants: c.grants}
		if u.CanAccess("p") != c.access || u.CanAccess("") || u.MayCreateProjects() != c.create || u.SetsUpProjects() != c.all {
			t.Errorf("%s: access %v (to none: %v), create %v, list all %v", name,
				u.CanAccess("p"), u.CanAccess(""), u.MayCreateProjects(), u.SetsUpProjects())
		}
	}
}

func TestAProjectlessRoleReachesNothing(t *testing.T) {
	for _, role := range auth.Roles {
		if role == auth.Admin {
			continue
		}
		u := &auth.User{Grants: []auth.Grant{{Role: role, Patient: "me"}}}
		for _, kind := range auth.Kinds {
			for _, project := range []string{"", "p"} {
				if _, ok := u.May(auth.Read, kind, project); ok {
					t.Errorf("%s without a project may read %s of %q", role, kind, project)
				}
			}
		}
	}
}

func TestUserOfACall(t *testing.T) {
	u := &auth.User{Subject: "u"}
	if got := auth.UserFrom(auth.WithUser(t.Context(), u)); got != u {
		t.Errorf("the user comes back as %+v", got)
	}
	if got := auth.UserFrom(context.Background()); got.CanAccess("p") || len(got.Projects()) != 0 || got.MayCreateProjects() {
		t.Errorf("a call without a token has the user %+v", got)
	}
}
