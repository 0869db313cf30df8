package subjects_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/subjects"
)

// people is a Resolver of a fixed list.
type people map[string]subjects.Place

func (p people) Resolve(_ context.Context, patient string) (subjects.Place, error) {
	if place, ok := p[patient]; ok {
		return place, nil
	}
	return subjects.Place{}, subjects.Unseen()
}

var everybody = people{
	"p-s1": {Project: "p", Site: "s1"}, "p-s2": {Project: "p", Site: "s2"}, "q-s1": {Project: "q", Site: "s1"},
}

// users are the kinds of callers of the table below.
var users = map[string][]auth.Grant{
	"monitor":     {{Role: auth.Monitor, Project: "p"}},
	"at s1":       {{Role: auth.Coordinator, Project: "p", Sites: []string{"s1"}}},
	"device":      {{Role: auth.Device, Project: "p"}},
	"self":        {{Role: auth.Patient, Project: "p", Patient: "p-s1"}},
	"of both":     {{Role: auth.Device, Project: "p"}, {Role: auth.Monitor, Project: "q"}},
	"admin":       {{Role: auth.Admin}},
	"nobody":      nil,
	"without own": {{Role: auth.Patient, Project: "p"}},
}

// decisions: who reads the vitals of whom, naming which project. ok, or noGrant
// and roleForbids (PermissionDenied), or unseen (NotFound).
const decisions = `
who          named  p-s1         p-s2         q-s1         unknown
monitor      -      ok           ok           unseen       unseen
monitor      p      ok           ok           unseen       unseen
monitor      q      noGrant      noGrant      noGrant      noGrant
monitor      none   noGrant      noGrant      noGrant      noGrant
at_s1        -      ok           unseen       unseen       unseen
at_s1        p      ok           unseen       unseen       unseen
device       -      roleForbids  roleForbids  roleForbids  roleForbids
device       p      roleForbids  roleForbids  roleForbids  roleForbids
device       q      noGrant      noGrant      noGrant      noGrant
self         -      ok           unseen       unseen       unseen
self         p      ok           unseen       unseen       unseen
of_both      -      unseen       unseen       ok           unseen
of_both      p      roleForbids  roleForbids  roleForbids  roleForbids
of_both      q      unseen       unseen       ok           unseen
admin        -      unseen       unseen       unseen       unseen
admin        p      noGrant      noGrant      noGrant      noGrant
nobody       -      unseen       unseen       unseen       unseen
nobody       p      noGrant      noGrant      noGrant      noGrant
without_own  -      roleForbids  roleForbids  roleForbids  roleForbids
`

func TestAdmit(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(decisions), "\n")
	patients := strings.Fields(lines[0])[2:]
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		who, project := strings.ReplaceAll(cells[0], "_", " "), strings.TrimPrefix(cells[1], "-")
		grants, known := users[who]
		if !known {
			t.Fatalf("the table names %q, who is none of the users", who)
		}
		ctx := auth.WithUser(t.Context(), &auth.User{Subject: who, Grants: grants})
		for i, patient := range patients {
			place, scope, err := subjects.Admit(ctx, everybody, auth.Read, auth.Vitals, project, patient)
			if got := verdict(err); got != cells[i+2] {
				t.Errorf("%s, naming %q, reads %s: %s, want %s", who, project, patient, got, cells[i+2])
			}
			if err == nil && (place != everybody[patient] || scope.Project != place.Project || !scope.Covers(place.Site, patient)) {
				t.Errorf("%s, naming %q, reads %s in %+v with the scope %+v", who, project, patient, place, scope)
			}
			if err != nil && (place != subjects.Place{} || scope.Project != "") {
				t.Errorf("%s is refused %s and told %+v, %+v", who, patient, place, scope)
			}
		}
	}
}

func verdict(err error) string {
	if err == nil {
		return "ok"
	}
	f := fault.From(err)
	switch {
	case f.Code == codes.PermissionDenied && f.Reason == fault.ReasonNoGrant:
		return "noGrant"
	case f.Code == codes.PermissionDenied && f.Reason == fault.ReasonRoleForbids:
		return "roleForbids"
	case f.GRPCStatus().String() == fault.From(subjects.Unseen()).GRPCStatus().String():
		return "unseen" // Byte for byte, so that no NotFound can be told from another.
	}
	return err.Error()
}

// TestRefusalAsksNobody: what is decided without the patient is decided before
// the registry could tell, by its answer, its absence or its time, who exists.
func TestRefusalAsksNobody(t *testing.T) {
	ctx := auth.WithUser(t.Context(), &auth.User{Grants: users["device"]})
	for _, project := range []string{"", "p", "q"} {
		if _, _, err := subjects.Admit(ctx, nil, auth.Read, auth.Vitals, project, "p-s1"); err == nil {
			t.Errorf("a device may read, naming %q", project)
		}
	}
}

func TestAdmitPassesTheRegistrysFailureOn(t *testing.T) {
	c, _ := newCache(fails(away))
	ctx := auth.WithUser(t.Context(), &auth.User{Grants: users["monitor"]})
	_, _, err := subjects.Admit(ctx, c, auth.Read, auth.Vitals, "p", "p-s1")
	isFault(t, err, codes.Unavailable, fault.ReasonUnavailable)
}

func TestInProject(t *testing.T) {
	ctx := auth.WithUser(t.Context(), &auth.User{Grants: users["admin"]})
	for kind, want := range map[auth.Kind]string{auth.Subjects: "ok", auth.Sites: "ok", auth.Projects: "ok", auth.Vitals: "noGrant", auth.Images: "noGrant"} {
		if _, err := subjects.InProject(ctx, auth.Write, kind, "p"); verdict(err) != want {
			t.Errorf("the admin of all writes %s: %s, want %s", kind, verdict(err), want)
		}
	}
}
