package repo_test

import (
	"go/ast"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"clinsource/internal/fault"
)

// reasonConstants reads the names and values of internal/fault's reasons.
func reasonConstants(t *testing.T) map[string]string {
	t.Helper()
	reasons := map[string]string{}
	for _, s := range goSources(t) {
		if s.name != "internal/fault/reasons.go" {
			continue
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if ok && strings.HasPrefix(spec.Names[0].Name, "Reason") && len(spec.Values) == 1 {
				if value, ok := spec.Values[0].(*ast.BasicLit); ok {
					reasons[spec.Names[0].Name], _ = strconv.Unquote(value.Value)
				}
			}
			return true
		})
	}
	if len(reasons) == 0 {
		t.Fatal("found no reason in internal/fault/reasons.go")
	}
	return reasons
}

// A client branches on a reason and a person reads its page: every reason is
// spelt alike, once, and explained in both languages.
func TestReasonsAreExplained(t *testing.T) {
	upperSnake := regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)
	constants := reasonConstants(t)
	by := map[string]string{}
	for name, value := range constants {
		if !upperSnake.MatchString(value) {
			t.Errorf("fault.%s = %q is not UPPER_SNAKE", name, value)
		}
		if by[value] != "" {
			t.Errorf("fault.%s and fault.%s are both %q", name, by[value], value)
		}
		by[value] = name
		if e := fault.Reasons[value]; e.Title == "" || e.TitleZH == "" || e.Help == "" || e.HelpZH == "" {
			t.Errorf("fault.Reasons[%s] lacks a title or help, in English or Chinese; the reason's page is made of them", name)
		}
	}
	for value := range fault.Reasons {
		if by[value] == "" {
			t.Errorf("fault.Reasons explains %q, which no constant names", value)
		}
	}
}

// A reason that nothing gives makes callers write code that never runs; one
// given by its text alone escapes the table.
func TestReasonsAreGivenByName(t *testing.T) {
	constants := reasonConstants(t)
	used := map[string]bool{}
	for _, s := range goSources(t) {
		if s.isTest() || s.isGenerated() {
			continue
		}
		for _, use := range s.uses("clinsource/internal/fault", func(name string) bool { return strings.HasPrefix(name, "Reason") }) {
			used[use.Sel.Name] = true
			if _, ok := constants[use.Sel.Name]; !ok && use.Sel.Name != "Reasons" {
				t.Errorf("%s: there is no fault.%s", s.at(use), use.Sel.Name)
			}
		}
		if s.Name.Name == "fault" {
			for name := range namesOutsideTable(s) {
				used[name] = true
			}
		}
	}
	for name := range constants {
		if !used[name] {
			t.Errorf("fault.%s is given nowhere: remove it, or return it where it belongs", name)
		}
	}
}

// namesOutsideTable gives the reasons that package fault itself uses, apart
// from declaring and explaining them.
func namesOutsideTable(s source) map[string]bool {
	found := map[string]bool{}
	ast.Inspect(s.File, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			if n.Names[0].Name == "Reasons" || strings.HasPrefix(n.Names[0].Name, "Reason") {
				return false
			}
		case *ast.Ident:
			found[n.Name] = true
		}
		return true
	})
	return found
}
