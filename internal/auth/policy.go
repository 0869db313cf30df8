package auth

import (
	"slices"
	"sync"
	"sync/atomic"

	cedar "github.com/cedar-policy/cedar-go"

	"clinsource/etc"
)

// Role is what a person, device or institution is in a project.
type Role string

// The roles of a trial.
const (
	Admin        Role = "admin"
	Investigator Role = "investigator"
	Coordinator  Role = "coordinator"
	DataManager  Role = "data-manager"
	Monitor      Role = "monitor"
	Partner      Role = "partner"
	Device       Role = "device"
	Patient      Role = "patient"
)

// Roles lists all roles.
var Roles = []Role{Admin, Investigator, Coordinator, DataManager, Monitor, Partner, Device, Patient}

// adminOfAll is what the policy calls an admin whose grant names no project.
const adminOfAll Role = "admin-of-all"

// Emergency is what an account takes for itself for a bounded time, with a reason
// (AccessService.TakeEmergencyAccess). Nobody can grant it, and no token claims it.
const Emergency Role = "emergency"

// Kind is a kind of record.
type Kind string

// The kinds of records.
const (
	Projects    Kind = "projects"
	Sites       Kind = "sites"
	Subjects    Kind = "subjects"
	Vitals      Kind = "vitals"
	Images      Kind = "images"
	Reports     Kind = "reports"
	Medications Kind = "medications"
	Consents    Kind = "consents"    // What a subject has agreed to, and the erasure of their data.
	Audit       Kind = "audit"       // Who did what, the list of who read a subject's data included.
	Grants      Kind = "grants"      // Who may do what.
	Accounts    Kind = "accounts"    // Whether a person or device may do anything at all.
	Emergencies Kind = "emergencies" // The taking of emergency access.
)

// Kinds lists all kinds.
var Kinds = []Kind{Projects, Sites, Subjects, Vitals, Images, Reports, Medications, Consents, Audit, Grants, Accounts, Emergencies}

// groups are the policy's names for several kinds.
var groups = map[Kind][]Kind{
	"registry": {Projects, Sites, Subjects},
	"clinical": {Vitals, Images, Reports, Medications},
}

// Action is what one does to a record.
type Action string

// The actions.
const (
	Read  Action = "read"
	Write Action = "write"
	Amend Action = "amend" // Write a new version of a record, or void it.
)

// Actions lists all actions.
var Actions = []Action{Read, Write, Amend}

// KnownRole says whether there is such a role.
func KnownRole(r Role) bool { return slices.Contains(Roles, r) }

// inForce is the policy that decides. Before a process has loaded the file that
// its configuration names (PolicyConfig.Load), and in tests, it is the shipped one.
var inForce atomic.Pointer[Policy]

func init() {
	shipped, err := ParsePolicy("etc/policy.cedar", etc.Policy)
	if err != nil {
		panic(err) // A test holds that it is whole.
	}
	inForce.Store(shipped)
}

// Policy is a policy file, checked and ready to decide. It decides by the names
// of projects and sites that the file mentions: to it all others are alike. So an
// answer about a role holds for every project, and for every site at once, and
// each is worked out once.
type Policy struct {
	lines    cedar.PolicySet
	named    []string // The projects and sites that the file names, sorted.
	verdicts sync.Map // question -> verdict
}

// Use puts the policy in force in this process.
func (p *Policy) Use() { inForce.Store(p) }

// question is what the policy is asked: project is "" for one that the file does
// not name.
type question struct {
	role    Role
	do      Action
	what    Kind
	project string
}

// verdict is where in a project the answer is yes.
type verdict struct {
	others bool            // At sites that the file does not name.
	sites  map[string]bool // At those that it names.
}

func (v verdict) at(site string) bool {
	if allowed, named := v.sites[site]; named {
		return allowed
	}
	return v.others
}

// named lists the sites that the file names and that are allowed, or not.
func (v verdict) named(allowed bool) []string {
	var list []string
	for site, ok := range v.sites {
		if ok == allowed {
			list = append(list, site)
		}
	}
	slices.Sort(list)
	return list
}

func (p *Policy) verdict(q question) verdict {
	if _, named := slices.BinarySearch(p.named, q.project); !named {
		q.project = ""
	}
	if known, ok := p.verdicts.Load(q); ok {
		return known.(verdict)
	}
	v := verdict{others: p.permits(q, ""), sites: map[string]bool{}}
	for _, site := range p.named {
		v.sites[site] = p.permits(q, site)
	}
	p.verdicts.Store(q, v)
	return v
}

// members tells Cedar which kinds each group holds.
var members = func() cedar.EntityMap {
	m := cedar.EntityMap{}
	for group, kinds := range groups {
		for _, kind := range kinds {
			uid := cedar.NewEntityUID("Kind", cedar.String(kind))
			m[uid] = cedar.Entity{UID: uid, Parents: cedar.NewEntityUIDSet(cedar.NewEntityUID("Kind", cedar.String(group)))}
		}
	}
	return m
}()

func (p *Policy) permits(q question, site string) bool {
	decision, problems := cedar.Authorize(&p.lines, members, cedar.Request{
		Principal: cedar.NewEntityUID("Role", cedar.String(q.role)),
		Action:    cedar.NewEntityUID("Action", cedar.String(q.do)),
		Resource:  cedar.NewEntityUID("Kind", cedar.String(q.what)),
		Context:   cedar.NewRecord(cedar.RecordMap{"project": cedar.String(q.project), "site": cedar.String(site)}),
	})
	// A line that cannot be evaluated would not count, and it may be a forbid.
	return decision == cedar.Allow && len(problems.Errors) == 0
}
