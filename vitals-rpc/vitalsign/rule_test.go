package vitalsign

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"clinsource/internal/judgement"
)

func TestRulesAreExplained(t *testing.T) {
	ids := map[string]bool{}
	for _, r := range Rules() {
		if ids[r.ID] {
			t.Errorf("%s is explained twice", r.ID)
		}
		ids[r.ID] = true
		if !strings.HasSuffix(r.English, ".") || strings.Count(r.English, ". ") > 0 {
			t.Errorf("%s: not one English sentence: %s", r.ID, r.English)
		}
		if !strings.HasSuffix(r.Chinese, "。") || !strings.ContainsFunc(r.Chinese, func(c rune) bool { return unicode.Is(unicode.Han, c) }) {
			t.Errorf("%s: not one Chinese sentence: %s", r.ID, r.Chinese)
		}
		if len(r.Severities) == 0 || !slices.IsSortedFunc(r.Severities, func(a, b judgement.Severity) int { return int(b - a) }) {
			t.Errorf("%s: severities %v are not worst first", r.ID, r.Severities)
		}
	}
	for name, id := range ruleConstants(t) {
		if !ids[id] {
			t.Errorf("%s = %q is not among Rules", name, id)
		}
		delete(ids, id)
	}
	for id := range ids {
		t.Errorf("%s has no constant", id)
	}
}

// ruleConstants reads the constants named Rule... from the source, this
// package's and those that every kind of record has, and wants each documented,
// its comment beginning with its name.
func ruleConstants(t *testing.T) map[string]string {
	constants := map[string]string{}
	for _, name := range []string{"rule.go", "../../internal/judgement/rule.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(spec.Names[0].Name, "Rule") {
				return true
			}
			name := spec.Names[0].Name
			if !strings.HasPrefix(spec.Doc.Text(), name+" ") {
				t.Errorf("%s is not documented", name)
			}
			id, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			constants[name] = id
			return true
		})
	}
	return constants
}

func TestSignsIsACopy(t *testing.T) {
	copied := Signs()
	copied[0].Fields[0].Name, copied[1].Units[0].Name, copied[5].History.Days = "x", "x", 1
	if signs[0].Fields[0].Name == "x" || signs[1].Units[0].Name == "x" || signs[5].History.Days == 1 {
		t.Error("a caller of Signs can change the table")
	}
}
