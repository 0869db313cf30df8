package auth_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"clinsource/etc"
	"clinsource/internal/auth"
)

// with puts the shipped policy and these lines in force for the test.
func with(t *testing.T, lines string) {
	t.Helper()
	use(t, string(etc.Policy)+lines)
}

func use(t *testing.T, text string) {
	t.Helper()
	p, err := auth.ParsePolicy("etc/policy.cedar", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p.Use()
	t.Cleanup(shipped)
}

func shipped() {
	p, err := auth.ParsePolicy("etc/policy.cedar", etc.Policy)
	if err != nil {
		panic(err)
	}
	p.Use()
}

func may(u *auth.User, do auth.Action, what auth.Kind, project, site string) bool {
	scope, ok := u.May(do, what, project)
	return ok && scope.Covers(site, scope.Patient)
}

// TestOperatorsExamples are those of docs/access.md.
//
// Shows R20.
func TestOperatorsExamples(t *testing.T) {
	monitor := &auth.User{Grants: []auth.Grant{{Role: auth.Monitor, Project: "x"}}}
	partner := &auth.User{Grants: []auth.Grant{{Role: auth.Partner, Project: "x"}, {Role: auth.Partner, Project: "y"}}}
	both := &auth.User{Grants: []auth.Grant{{Role: auth.Partner, Project: "x"}, {Role: auth.Coordinator, Project: "x", Sites: []string{"s2"}}}}
	atTwo := &auth.User{Grants: []auth.Grant{{Role: auth.Partner, Project: "x", Sites: []string{"s2"}}}}
	with(t, example(t, "images"))
	if may(monitor, auth.Read, auth.Images, "x", "s1") || !may(monitor, auth.Read, auth.Vitals, "x", "s1") {
		t.Error("monitors may not read images is not what it does")
	}
	with(t, example(t, "s2"))
	for name, c := range map[string]struct {
		user          *auth.User
		what          auth.Kind
		project, site string
		want          bool
	}{
		"the site":           {partner, auth.Reports, "x", "s2", false},
		"another site":       {partner, auth.Reports, "x", "s1", true},
		"another kind":       {partner, auth.Vitals, "x", "s2", true},
		"another project":    {partner, auth.Reports, "y", "s2", true},
		"by a grant of both": {both, auth.Reports, "x", "s2", true},
		"only that site":     {atTwo, auth.Reports, "x", "s2", false},
	} {
		if got := may(c.user, auth.Read, c.what, c.project, c.site); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	scope, ok := partner.May(auth.Read, auth.Reports, "x")
	if !ok || !scope.AllSites || !slices.Equal(scope.Except, []string{"s2"}) {
		t.Errorf("the scope is %+v", scope)
	}
}

// example gives the lines of docs/access.md that hold the word.
func example(t *testing.T, word string) string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/access.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(doc), "```")[1:] {
		if lines, ok := strings.CutPrefix(block, "cedar\n"); ok && strings.Contains(lines, `"`+word+`"`) {
			return lines
		}
	}
	t.Fatalf("docs/access.md has no example with %q", word)
	return ""
}

// TestMistakesAreNamed: nothing that would silently never apply is taken.
func TestMistakesAreNamed(t *testing.T) {
	for line, want := range map[string]string{
		"":        "permits nothing",
		"permit;": "f.cedar:2:8",
		`permit (principal == Role::"monitr", action, resource);`:                                          `:2: unknown role "monitr"; did you mean monitor?`,
		`permit (principal, action == Action::"raed", resource);`:                                          `:2: unknown action "raed"; did you mean read?`,
		`permit (principal, action in [Action::"read", Action::"drop"], resource);`:                        `:2: unknown action "drop"`,
		"permit (principal, action,\nresource == Kind::\"vital\");":                                        `:3: unknown kind "vital"; did you mean vitals?`,
		`permit (principal == Rol::"monitor", action, resource);`:                                          `:2: unknown type Rol; did you mean Role?`,
		`permit (principal == Kind::"vitals", action, resource);`:                                          `:2: principal is a Role, not a Kind`,
		`permit (principal is Role, action, resource);`:                                                    `"is" is not taken`,
		"permit (principal, action, resource)\nwhen { context.sit == \"s\" };":                             `:3: unknown attribute context.sit; did you mean site?`,
		`permit (principal, action, resource) when { principal.name == "s" };`:                             `unknown attribute .name`,
		`permit (principal, action, resource) when { context.site == 5 };`:                                 `no role, kind, project or site`,
		`permit (principal, action, resource) when { context.site == "a b" };`:                             `"a b" is no identifier`,
		`permit (principal, action, resource) when { context.site like "s*" };`:                            `not taken in a policy`,
		`permit (principal, action, resource) when { context.site == Role::"monitor" };`:                   `stands where`,
		`permit (principal, action, resource) when { context.site };`:                                      `stands where true or false is needed`,
		`permit (principal, action, resource) when { context.site in ["s"] };`:                             `cannot be "in"`,
		`permit (principal, action, resource) when { resource in Role::"monitor" };`:                       `cannot be "in"`,
		`permit (principal, action, resource) when { [].contains(context.site) };`:                         `an empty list`,
		`permit (principal, action, resource) when { ["a", Kind::"vitals"].contains(context.site) };`:      `stands where`,
		`permit (principal, action, resource) when { if context.site == "s" then true else false };`:       `not taken in a policy`,
		`permit (principal, action, resource) when { resource in [Kind::"registry", Kind::"clinicals"] };`: `unknown kind "clinicals"; did you mean clinical?`,
	} {
		_, err := auth.ParsePolicy("f.cedar", []byte("// A comment.\n"+line))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "f.cedar:") {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

func TestAllFormsOfALine(t *testing.T) {
	use(t, `permit (principal, action, resource)
when { principal == Role::"monitor" && (action != Action::"amend" || ["p", "q"].contains(context.project)) && resource in Kind::"clinical" }
unless { !(context.site == "s1" || context.site == "s2") || resource == Kind::"images" };`)
	u := &auth.User{Grants: []auth.Grant{{Role: auth.Monitor, Project: "p"}, {Role: auth.Monitor, Project: "r", Sites: []string{"s2", "s3"}}}}
	for _, c := range []struct {
		do            auth.Action
		what          auth.Kind
		project, site string
		want          bool
	}{
		{auth.Read, auth.Vitals, "p", "s1", true}, {auth.Read, auth.Vitals, "p", "s3", false}, {auth.Amend, auth.Vitals, "p", "s2", true},
		{auth.Read, auth.Images, "p", "s1", false}, {auth.Read, auth.Subjects, "p", "s1", false}, {auth.Amend, auth.Vitals, "r", "s2", false},
		{auth.Read, auth.Vitals, "r", "s2", true}, {auth.Read, auth.Vitals, "r", "s1", false}, {auth.Read, auth.Vitals, "r", "s3", false},
	} {
		if got := may(u, c.do, c.what, c.project, c.site); got != c.want {
			t.Errorf("%s %s of %s/%s: %v", c.do, c.what, c.project, c.site, got)
		}
	}
}

// TestPolicyIsReadAgain: a change counts within seconds, and a broken file does
// not count at all.
func TestPolicyIsReadAgain(t *testing.T) {
	config := auth.PolicyConfig{File: filepath.Join(t.TempDir(), "policy.cedar")}
	if err := config.Load(); err == nil || !strings.Contains(err.Error(), "Policy.File") {
		t.Errorf("a file that there is not: %v", err)
	}
	t.Cleanup(shipped)
	put := func(text string) {
		if err := os.WriteFile(config.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	monitor := &auth.User{Grants: []auth.Grant{{Role: auth.Monitor, Project: "p"}}}
	synctest.Test(t, func(t *testing.T) {
		put(string(etc.Policy))
		if err := config.Load(); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		go config.Keep(ctx)
		for _, step := range []struct {
			text string
			may  bool
		}{
			{string(etc.Policy) + `forbid (principal == Role::"monitor", action, resource);`, false},
			{`permit (principal, action, resourc);`, false},
			{string(etc.Policy), true},
			{"", true},
		} {
			synctest.Wait()
			put(step.text)
			time.Sleep(3 * time.Second)
			if got := may(monitor, auth.Read, auth.Vitals, "p", "s"); got != step.may {
				t.Errorf("after %.60q: %v", step.text, got)
			}
		}
		stop()
	})
}

func BenchmarkMay(b *testing.B) {
	u := &auth.User{Grants: []auth.Grant{{Role: auth.Monitor, Project: "q"}, {Role: auth.Coordinator, Project: "p", Sites: []string{"s1"}}}}
	for b.Loop() {
		u.May(auth.Write, auth.Vitals, "p")
	}
}
