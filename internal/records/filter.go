package records

import (
	"strconv"
	"strings"

	"clinsource/internal/auth"
	"clinsource/internal/subjects"
)

// Filter grows a WHERE clause with numbered arguments: what a caller may not
// see is filtered in SQL, in lists and in counts alike.
type Filter struct {
	Where string
	Args  []any
}

// NewFilter begins with the arguments $1, $2, ...
func NewFilter(args ...string) *Filter {
	f := &Filter{}
	for _, a := range args {
		f.Arg(a)
	}
	return f
}

// Arg adds an argument and gives its mark.
func (f *Filter) Arg(v any) string {
	f.Args = append(f.Args, v)
	return "$" + strconv.Itoa(len(f.Args))
}

// And adds a condition.
func (f *Filter) And(condition string) { f.Where += " AND " + condition }

// In narrows a column to the values; none means no row.
func (f *Filter) In(column string, values []string) {
	marks := make([]string, len(values))
	for i, v := range values {
		marks[i] = f.Arg(v)
	}
	if len(marks) == 0 {
		f.And("1 = 0")
		return
	}
	f.And(column + " IN (" + strings.Join(marks, ", ") + ")")
}

// Sites narrows to the sites of the scope.
func (f *Filter) Sites(column string, scope auth.Scope) {
	if !scope.AllSites {
		f.In(column, scope.Sites)
		return
	}
	for _, site := range scope.Except {
		f.And(column + " <> " + f.Arg(site))
	}
}

// narrow gives the one patient to filter by, or "" for all: the one asked for
// must be the one that the scope is confined to, if it is.
func narrow(scope auth.Scope, patient string) (string, error) {
	switch {
	case scope.Patient == "" || scope.Patient == patient:
		return patient, nil
	case patient == "":
		return scope.Patient, nil
	}
	return "", subjects.Unseen()
}
