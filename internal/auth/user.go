package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
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

	Until time.Time `json:"-"` // When it ends; zero: when it is revoked.
}

// maxSubject is the longest sub, in bytes (OpenID Connect Core 2).
const maxSubject = 255

// ValidSubject says whether an issuer's name for an account can be stored.
func ValidSubject(subject string) bool {
	return subject != "" && len(subject) <= maxSubject && utf8.ValidString(subject) && !strings.ContainsFunc(subject, unicode.IsControl)
}

// userOf is the user of a verified token. A token proves who its bearer is; what
// they may do is granted here, not by their issuer. Only the development issuer's
// claim counts.
func userOf(issuer, subject string, claimed []Grant) (*User, error) {
	if !ValidSubject(subject) {
		return nil, errors.New("a sub that could be neither granted nor disabled")
	}
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
	Except   []string // If AllSites: but these, which the policy forbids.
	Sites    []string // If not AllSites: only these.
	Patient  string   // If not empty: only this patient's.
	Role     Role     // The role that granted it, for the audit record.
}

// Covers says whether a record of this site and patient lies in the scope.
func (s Scope) Covers(site, patient string) bool {
	if s.Patient != "" && s.Patient != patient {
		return false
	}
	if s.AllSites {
		return !slices.Contains(s.Except, site)
	}
	return slices.Contains(s.Sites, site)
}

// add widens the scope by another's sites.
func (s *Scope) add(more Scope) {
	switch {
	case s.AllSites && more.AllSites:
		s.Except = keep(s.Except, func(site string) bool { return slices.Contains(more.Except, site) })
	case s.AllSites:
		s.Except = keep(s.Except, func(site string) bool { return !slices.Contains(more.Sites, site) })
	case more.AllSites:
		own := s.Sites
		s.AllSites, s.Sites = true, nil
		s.Except = keep(more.Except, func(site string) bool { return !slices.Contains(own, site) })
	default:
		s.Sites = append(s.Sites, more.Sites...)
	}
}

func keep(list []string, wanted func(string) bool) []string {
	var kept []string
	for _, v := range list {
		if wanted(v) {
			kept = append(kept, v)
		}
	}
	return kept
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
// The policy in force says what each grant's role may do.
func (u *User) May(do Action, what Kind, project string) (Scope, bool) {
	p := inForce.Load()
	scope := Scope{Project: project}
	granted := false
	for _, g := range u.Grants {
		if g.Project != project && g.Project != "" {
			continue
		}
		own, ok := g.within(p.verdict(question{g.asks(), do, what, project}))
		if !ok {
			continue
		}
		switch {
		case own.Patient != "" && granted && scope.Patient == "":
			continue // A wider grant wins.
		case own.Patient != "" || scope.Patient != "":
			scope.AllSites, scope.Except, scope.Sites, scope.Patient = own.AllSites, own.Except, own.Sites, own.Patient
		default:
			scope.add(own)
		}
		scope.Role, granted = g.Role, true
	}
	return scope, granted
}

// asks is the role by which the policy knows the grant. Only an admin's grant
// may do without a project, and reaches all of them.
func (g Grant) asks() Role {
	switch {
	case g.Project != "":
		return g.Role
	case g.Role == Admin:
		return adminOfAll
	}
	return "none"
}

// within narrows what the policy allows to what the grant names.
func (g Grant) within(v verdict) (Scope, bool) {
	if g.Role == Patient && g.Patient == "" {
		return Scope{}, false // A patient's grant names whose.
	}
	s := Scope{AllSites: len(g.Sites) == 0 && v.others}
	switch {
	case s.AllSites:
		s.Except = v.named(false)
	case len(g.Sites) == 0:
		s.Sites = v.named(true)
	default:
		s.Sites = keep(g.Sites, v.at)
	}
	if g.Role == Patient {
		s.Patient = g.Patient
	}
	return s, s.AllSites || len(s.Sites) > 0
}

// MayCreateProjects says whether any of the user's grants allows to write
// projects: by the shipped policy, an admin's.
func (u *User) MayCreateProjects() bool {
	for _, g := range u.Grants {
		if _, ok := u.May(Write, Projects, g.Project); ok {
			return true
		}
	}
	return false
}

// SetsUpProjects says whether the user is an admin without a project, who may
// list them all.
func (u *User) SetsUpProjects() bool {
	_, ok := u.May(Read, Projects, "")
	return ok
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
