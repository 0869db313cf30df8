package auth

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
)

// Kinds lists all kinds.
var Kinds = []Kind{Projects, Sites, Subjects, Vitals, Images, Reports, Medications}

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

type rights map[Kind]string // Of "r", "w" and "a": the actions' first letters.

func (r rights) allows(do Action, what Kind) bool {
	for _, c := range r[what] {
		if string(c) == string(do)[:1] {
			return true
		}
	}
	return false
}

func all(access string) rights {
	r := rights{}
	for _, k := range Kinds {
		r[k] = access
	}
	return r
}

// policy is the one table of who may do what; what it does not list is refused.
// Creating a project is an admin's alone (User.MayCreateProjects).
var policy = map[Role]rights{
	Admin:        all("rwa"),
	Investigator: all("rwa"),
	Coordinator:  all("rwa"), // Within their sites: the scope holds it.
	DataManager:  all("ra"),
	Monitor:      all("r"),
	Partner:      all("r"),
	Device:       {Vitals: "w", Images: "w"},
	Patient:      {Vitals: "rw", Reports: "rw"}, // Their own: the scope holds it.
}

// KnownRole says whether the policy has the role.
func KnownRole(r Role) bool {
	_, ok := policy[r]
	return ok
}
