package logic_test

import (
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	"clinsource/etc"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/subject-rpc/internal/svc"
)

// usePolicy puts the shipped policy and these lines in force for the test.
func usePolicy(t *testing.T, lines string) {
	t.Helper()
	shipped, err := auth.ParsePolicy("etc/policy.cedar", etc.Policy)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := auth.ParsePolicy("etc/policy.cedar", []byte(string(etc.Policy)+lines))
	if err != nil {
		t.Fatal(err)
	}
	changed.Use()
	t.Cleanup(shipped.Use)
}

// TestThePolicyFiltersInSQL: a site that the policy closes to a role is in no list
// and in no count, though the grant is for the whole project.
//
// Shows R20.
func TestThePolicyFiltersInSQL(t *testing.T) {
	usePolicy(t, `forbid (principal == Role::"monitor", action, resource) when { context.project == "trial" && context.site == "s2" };`)
	monitor := auth.Grant{Role: auth.Monitor, Project: "trial"}
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		ctx := as(t, monitor)
		for kind, want := range map[string][]string{"sites": {"s1"}, "subjects": {"p1", "p3"}} {
			if got, _, err := listers[kind](ctx, s, 0, ""); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %q, %v; want %q", kind, got, err, want)
			}
		}
		if sum, err := summarize(ctx, s, "trial", ""); err != nil || sum.GetCount() != 2 || sum.GetSites() != 1 {
			t.Errorf("the summary is %v, %v", sum, err)
		}
		_, err := getSubject(ctx, s, "trial", "p2")
		wantFault(t, err, codes.NotFound, fault.ReasonSubjectNotFound)
		if all, _, err := listers["subjects"](as(t, investigator), s, 0, ""); err != nil || len(all) != 3 {
			t.Errorf("another role sees %q, %v", all, err)
		}
	})
}
