package auth

import (
	"context"
	"fmt"
)

// User is who a verified token speaks for, and what it grants.
type User struct {
	Issuer  string  // Who vouches for Subject: the verified issuer of the token.
	Subject string  // The issuer's name for the person or device: a pseudonym.
	Grants  []Grant // What the user may do; of the token itself only DevIssuer's count.
}

// Grant is a role in a project, or in some of its sites.
type Grant struct {
	Role    Role     `json:"role"`
	Project string   `json:"project,omitempty"` // Empty only for an admin who sets up projects.
	Sites   []string `json:"sites,omitempty"`   // Empty: all sites of the project.
	Patient string   `json:"patient,omitempty"` // For the role patient: whose records are their own.
}

// userOf is the user of a verified token. A token proves who its bearer is; what
// they may do is granted here, not by their issuer. Only the development issuer's
// claim counts.
func userOf(issuer, subject string, claimed []Grant) (*User, error) {
	u := &User{Issuer: issuer, Subject: subject}
	if issuer != DevIssuer {
		return u, nil
	}
	for _, g := range claimed {
		if !KnownRole(g.Role) {
			return nil, fmt.Errorf("unknown role %q", g.Role)
		}
	}
	u.Grants = claimed
	return u, nil
}

// Scope is what a decision leaves to the data: which project, which of its
// sites, which patient. A query filters by it in SQL.
type Scope struct {
	Project  string
	AllSites bool
	Sites    []string // If not AllSites; may be empty when Patient decides.
	Patient  string   // If not empty: only this patient's.
	Role     Role     // The role that granted it, for the audit record.
}

// Covers says whether a record of this site and patient lies in the scope.
func (s Scope) Covers(site, patient string) bool {
	if s.Patient != "" && s.Patient != patient {
		return false
	}
	if s.AllSites {
		return true
	}
	for _, own := range s.Sites {
		if own == site {
			return true
		}
	}
	return false
}

// CanAccess says whether the user has any grant in the project. Whoever has
// none is refused with PermissionDenied, whether the project exists or not.
func (u *User) CanAccess(project string) bool {
	for _, g := range u.Grants {
		if g.Project == project && project != "" {
			return true
		}
	}
	return false
}

// May decides whether the user may do this to this kind of record in the
// project, and gives the scope that the data must lie in. Several grants add up.
func (u *User) May(do Action, what Kind, project string) (Scope, bool) {
	scope := Scope{Project: project}
	granted := false
	for _, g := range u.Grants {
		if !g.covers(project, what) || !policy[g.Role].allows(do, what) {
			continue
		}
		if g.Role == Patient {
			if g.Patient == "" || granted && scope.Patient == "" {
				continue // A patient's grant names whose; a wider grant wins.
			}
			scope.Patient, scope.AllSites = g.Patient, true
		} else {
			if scope.Patient != "" {
				scope = Scope{Project: project}
			}
			scope.AllSites = scope.AllSites || len(g.Sites) == 0
			scope.Sites = append(scope.Sites, g.Sites...)
		}
		scope.Role, granted = g.Role, true
	}
	return scope, granted
}

// covers says whether the grant reaches this kind of record in the project. An
// admin's grant without a project reaches the set-up of every project, and no
// patient's data.
func (g Grant) covers(project string, what Kind) bool {
	if g.Project != "" {
		return g.Project == project || what == Projects && project == ""
	}
	return g.Role == Admin && (what == Projects || what == Sites || what == Subjects)
}

// MayCreateProjects says whether the user is an admin anywhere.
func (u *User) MayCreateProjects() bool {
	for _, g := range u.Grants {
		if g.Role == Admin {
			return true
		}
	}
	return false
}

// SetsUpProjects says whether the user is an admin without a project, who may
// list them all.
func (u *User) SetsUpProjects() bool {
	for _, g := range u.Grants {
		if g.Role == Admin && g.Project == "" {
			return true
		}
	}
	return false
}

// Projects gives the projects that the user has a grant for.
func (u *User) Projects() []string {
	var names []string
	for _, g := range u.Grants {
		if g.Project != "" {
			names = append(names, g.Project)
		}
	}
	return names
}

type userKey struct{}

// WithUser puts the verified user into the context of a call.
func WithUser(ctx context.Context, u *User) context.Context {
	return context.WithValue(ctx, userKey{}, u)
}

// UserFrom gives the verified user of a call. A call without a token has a user
// without grants, who may do nothing.
func UserFrom(ctx context.Context) *User {
	if u, ok := ctx.Value(userKey{}).(*User); ok {
		return u
	}
	return &User{}
}
