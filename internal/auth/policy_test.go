package auth_test

import (
	"fmt"
	"strings"
	"testing"

	"clinsource/internal/auth"
)

var roles = []auth.Role{
	auth.Admin, auth.Investigator, auth.Coordinator, auth.DataManager, auth.Monitor, auth.Partner, auth.Device, auth.Patient,
}

// golden is who may do what in a project that they have a grant for: r reads, w
// writes, a amends, - none of them. A change of the policy is a change of this picture.
const golden = `
             projects sites subjects vitals images reports medications
admin        rwa      rwa   rwa      rwa    rwa    rwa     rwa
investigator rwa      rwa   rwa      rwa    rwa    rwa     rwa
coordinator  rwa      rwa   rwa      rwa    rwa    rwa     rwa
data-manager ra       ra    ra       ra     ra     ra      ra
monitor      r        r     r        r      r      r       r
partner      r        r     r        r      r      r       r
device       -        -     -        w      w      -       -
patient      -        -     -        rw     -      rw      -
admin of all rwa      rwa   rwa      -      -      -       -
nobody       -        -     -        -      -      -       -
`

func TestPolicyIsThePicture(t *testing.T) {
	picture := "\n             projects sites subjects vitals images reports medications\n"
	for _, role := range roles {
		g := auth.Grant{Role: role, Project: "p"}
		if role == auth.Patient {
			g.Patient = "me"
		}
		picture += line(string(role), g)
	}
	picture += line("admin of all", auth.Grant{Role: auth.Admin})
	picture += line("nobody", auth.Grant{Role: "nobody", Project: "p"})
	if picture != golden {
		t.Errorf("the policy is\n%s\nand the picture says\n%s", picture, golden)
	}
}

func line(name string, g auth.Grant) string {
	u := &auth.User{Subject: "u", Grants: []auth.Grant{g}}
	out := fmt.Sprintf("%-12s", name)
	for _, kind := range auth.Kinds {
		access := ""
		for _, do := range auth.Actions {
			if _, ok := u.May(do, kind, "p"); ok {
				access += string(do)[:1]
			}
		}
		if access == "" {
			access = "-"
		}
		out += fmt.Sprintf(" %-*s", len(kind), access)
	}
	return strings.TrimRight(out, " ") + "\n"
}

func TestEveryRoleIsKnown(t *testing.T) {
	for _, role := range roles {
		if !auth.KnownRole(role) {
			t.Errorf("%s is not in the policy", role)
		}
	}
	if auth.KnownRole("") || auth.KnownRole("root") {
		t.Error("a role that does not exist is known")
	}
}

// TestNoGrantReachesAnotherProject: deny by default, for every role, kind and action.
func TestNoGrantReachesAnotherProject(t *testing.T) {
	for _, role := range roles {
		u := &auth.User{Grants: []auth.Grant{{Role: role, Project: "p", Patient: "me"}}}
		for _, kind := range auth.Kinds {
			for _, do := range auth.Actions {
				for _, project := range []string{"q", "P", "p "} {
					if _, ok := u.May(do, kind, project); ok {
						t.Errorf("%s of p may %s %s of %q", role, do, kind, project)
					}
				}
			}
		}
	}
}
