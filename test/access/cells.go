package access

import (
	"fmt"
	"slices"
	"strings"

	"clinsource/internal/auth"
)

// The names by which cells are worked out; a running suite has others.
const (
	OwnProject, OtherProject = "own-project", "other-project"
	OwnSite, OtherSite       = "own-site", "other-site"
	OwnPatient, OtherPatient = "own-patient", "other-patient"
)

// Target is where the call goes, seen from the caller.
type Target int

// The targets.
const (
	Own       Target = iota // The own site (or self) in the own project.
	Elsewhere               // Another site, another patient, of the own project.
	Beyond                  // Another project.
	Nowhere                 // A project that does not exist.
)

// Targets lists them.
var Targets = []Target{Own, Elsewhere, Beyond, Nowhere}

// Callers are the columns: each role in the own project, confined to the own site
// where a role can be; admins with and without a project; and who has no grant.
var Callers = append(slices.Clone(roles()), "admin-of-all", "nobody")

func roles() (names []string) {
	for _, r := range auth.Roles {
		names = append(names, string(r))
	}
	return names
}

// Grants gives what the caller holds, by the names of a running suite.
func Grants(caller, project, site, patient string) []auth.Grant {
	switch g := (auth.Grant{Role: auth.Role(caller), Project: project}); caller {
	case "nobody":
		return nil
	case "admin-of-all":
		return []auth.Grant{{Role: auth.Admin}}
	case string(auth.Admin):
		return []auth.Grant{g}
	case string(auth.Patient):
		g.Patient = patient
		return []auth.Grant{g}
	default:
		g.Sites = []string{site}
		return []auth.Grant{g}
	}
}

// What a cell says.
const (
	OK      = "ok"
	Denied  = "403"
	Unseen  = "404"
	Without = "-" // The row does not tell this target from another.
)

// Cell is what the policy in force makes of the row, for the caller at the target.
func (r Row) Cell(caller string, to Target) string {
	u := &auth.User{Grants: Grants(caller, OwnProject, OwnSite, OwnPatient)}
	project := map[Target]string{Own: OwnProject, Elsewhere: OwnProject, Beyond: OtherProject, Nowhere: "no-project"}[to]
	scope, may := u.May(r.Do, r.What, project)
	switch r.Where {
	case Open, Anyone, Setup, Log, Creation, PeersOnly, Another:
		return r.alone(u, to)
	case Patient, Image:
		return r.patient(u, to)
	case GrantID:
		return r.grant(u, to, may)
	case View, View1:
		return r.view(u, project, to)
	case Whole:
		may = may && scope.AllSites
	case Project:
		if may && to != Elsewhere {
			return exists(to)
		}
	}
	switch {
	case (r.Where == Whole || r.Where == Project) && to == Elsewhere:
		return Without
	case !may:
		return Denied
	case to == Nowhere:
		return Unseen
	case r.Where == Whole || covers(scope, r.Where, to):
		return OK
	}
	return Unseen
}

func exists(to Target) string {
	if to == Nowhere {
		return Unseen
	}
	return OK
}

// covers says whether the target's site and patient lie in the scope.
func covers(s auth.Scope, where Where, to Target) bool {
	site, patient := OwnSite, OwnPatient
	if to == Elsewhere {
		site, patient = OtherSite, OtherPatient
	}
	if where == Site {
		patient = s.Patient
	}
	return s.Covers(site, patient)
}

// alone decides what depends on no project.
func (r Row) alone(u *auth.User, to Target) string {
	if to != Own {
		return Without
	}
	switch r.Where {
	case Setup:
		if _, ok := u.May(r.Do, r.What, ""); !ok {
			return Denied
		}
	case Creation:
		if !u.MayCreateProjects() {
			return Denied
		}
	case Log:
		if _, ok := u.May(r.Do, r.What, OwnProject); !ok && !u.SetsUpProjects() {
			return Denied
		}
	case PeersOnly:
		return Denied
	case Another:
		return Unseen
	}
	return OK
}

// patient decides by what belongs to a patient, where nobody names the project:
// who may do this nowhere is told so, to all others what is not theirs is not there.
func (r Row) patient(u *auth.User, to Target) string {
	scope, may := u.May(r.Do, r.What, OwnProject)
	switch {
	case to == Nowhere:
		return Without
	case !may && (r.Where == Image || len(u.Projects()) > 0):
		return Denied
	case may && to != Beyond && covers(scope, r.Where, to):
		return OK
	}
	return Unseen
}

func (r Row) grant(u *auth.User, to Target, may bool) string {
	_, own := u.May(r.Do, r.What, OwnProject)
	switch {
	case to == Elsewhere || to == Nowhere:
		return Without
	case may:
		return OK
	case own:
		return Unseen
	}
	return Denied
}

// view decides by any section that may be read.
func (r Row) view(u *auth.User, project string, to Target) string {
	if r.Where == View && to == Elsewhere {
		return Without
	}
	if !u.CanAccess(project) {
		return Denied
	}
	readable := false
	for _, kind := range []auth.Kind{auth.Subjects, auth.Vitals, auth.Images, auth.Reports, auth.Medications} {
		scope, ok := u.May(auth.Read, kind, project)
		if ok && (r.Where == View || covers(scope, Subject, to)) {
			return OK
		}
		readable = readable || ok
	}
	if readable {
		return Unseen
	}
	return Denied
}

// Markdown is docs/access-matrix.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# The matrix of access

Generated by make generate out of test/access/rows.go and etc/policy.cedar; test/scenario (TestAccessMatrix) calls every
cell of a running suite and compares.

A cell says what a caller with a role in one project is answered, at: the own site of that project (a patient: their own
records), another site of it (another patient), another project, a project that does not exist. ` + "`ok`" + `, 403 (PermissionDenied),
404 (NotFound); ` + "`-`" + `: the call does not tell this from what stands before. All roles but admin and patient are confined to one site here.

- Below a project without a grant everything is 403, whether the project exists or not.
- Within a project that the caller may see, what they may not see is 404; what their role forbids is 403 for all of it.
- Over gRPC, where only a patient is named, another project's patient is 404.
- What only other processes may ask is 403 to everybody: their certificates decide, not a token.

| call | ` + strings.Join(Callers, " | ") + " |\n|---" + strings.Repeat("|---", len(Callers)) + "|\n")
	for _, r := range Rows {
		fmt.Fprintf(&b, "| `%s` |", r.Call)
		for _, caller := range Callers {
			var cells []string
			for _, to := range Targets {
				cells = append(cells, r.Cell(caller, to))
			}
			b.WriteString(" " + strings.Join(trim(cells), " ") + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// trim leaves out the end of a cell that says nothing.
func trim(cells []string) []string {
	for len(cells) > 1 && cells[len(cells)-1] == Without {
		cells = cells[:len(cells)-1]
	}
	return cells
}
