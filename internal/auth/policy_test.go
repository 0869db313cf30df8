package auth_test

import (
	"fmt"
	"strings"
	"testing"

	"clinsource/internal/auth"
)

// golden is who may do what in a project that they have a grant for: r reads, w
// writes, a amends, - none of them. A change of etc/policy.cedar is a change of
// this picture.
const golden = `
             projects sites subjects vitals images reports medications consents audit grants accounts emergencies
admin        rwa      rwa   rwa      rwa    rwa    rwa     rwa         rwa      r     rw     -        -
investigator r        rwa   rwa      rwa    rwa    rwa     rwa         rwa      r     -      -        w
coordinator  r        rwa   rwa      rwa    rwa    rwa     rwa         rwa      -     -      -        w
data-manager ra       ra    ra       ra     ra     ra      ra          r        r     -      -        -
monitor      r        r     r        r      r      r       r           r        r     -      -        -
partner      r        r     r        r      r      r       r           -        -     -      -        -
device       -        -     -        w      w      -       -           -        -     -      -        -
patient      -        -     -        rw     -      rw      -           r        r     -      -        -
admin of all rwa      rwa   rwa      -      -      -       -           -        -     rw     rw       -
emergency    r        r     r        r      r      r       r           -        -     -      -        -
nobody       -        -     -        -      -      -       -           -        -     -      -        -
`

// TestPolicyIsThePicture draws etc/policy.cedar.
//
// Shows R20.
func TestPolicyIsThePicture(t *testing.T) {
	if picture := pictureOf("p"); picture != golden {
		t.Errorf("the policy is\n%s\nand the picture says\n%s", picture, golden)
	}
}

// pictureOf draws what the policy in force allows in a project.
func pictureOf(project string) string {
	picture := "\n            "
	for _, kind := range auth.Kinds {
		picture += " " + string(kind)
	}
	picture += "\n"
	for _, role := range auth.Roles {
		picture += line(string(role), project, grantOf(role, project))
	}
	picture += line("admin of all", project, auth.Grant{Role: auth.Admin})
	picture += line("emergency", project, auth.Grant{Role: auth.Emergency, Project: project})
	return picture + line("nobody", project, auth.Grant{Role: "nobody", Project: project})
}

func grantOf(role auth.Role, project string) auth.Grant {
	g := auth.Grant{Role: role, Project: project}
	if role == auth.Patient {
		g.Patient = "me"
	}
	return g
}

func line(name, project string, g auth.Grant) string {
	u := &auth.User{Subject: "u", Grants: []auth.Grant{g}}
	out := fmt.Sprintf("%-12s", name)
	for _, kind := range auth.Kinds {
		access := ""
		for _, do := range auth.Actions {
			if _, ok := u.May(do, kind, project); ok {
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
	for _, role := range auth.Roles {
		if !auth.KnownRole(role) {
			t.Errorf("%s is not a role", role)
		}
	}
	if auth.KnownRole("") || auth.KnownRole("root") || auth.KnownRole("admin-of-all") || auth.KnownRole(auth.Emergency) {
		t.Error("a role that does not exist is known")
	}
}

// TestNoGrantReachesAnotherProject: deny by default, for every role, kind and action.
func TestNoGrantReachesAnotherProject(t *testing.T) {
	for _, role := range auth.Roles {
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
