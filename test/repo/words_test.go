package repo_test

import (
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestPackagesExplainThemselves: a newcomer opens a package and reads what it
// is for. The words stand in one file, begin in the way godoc expects, and
// take at least two lines: one line repeats the name.
func TestPackagesExplainThemselves(t *testing.T) {
	docs := map[string]string{}
	names := map[string]string{}
	for _, s := range goSources(t) {
		dir := path.Dir(s.name)
		if s.isGenerated() {
			continue // proto/*: the contracts are documented in the .proto files, see test/contract.
		}
		names[dir] = strings.TrimSuffix(s.Name.Name, "_test")
		if s.isTest() && hasProduct(t, dir) {
			continue
		}
		if s.Doc != nil {
			if docs[dir] != "" {
				t.Errorf("%s: a second package comment for %s; godoc would show both, keep one", s.at(s.Doc), dir)
			}
			docs[dir] = s.Doc.Text()
		}
	}
	if len(names) < 20 {
		t.Fatalf("looked at %d packages only: the rule no longer sees the tree", len(names))
	}
	for _, dir := range slices.Sorted(maps.Keys(names)) {
		if fault := badDoc(dir, names[dir], docs[dir]); fault != "" {
			t.Errorf("%s: %s", dir, fault)
		}
	}
}

func hasProduct(t *testing.T, dir string) bool {
	t.Helper()
	return slices.ContainsFunc(packages(t), func(p pkg) bool { return p.ImportPath == dir && len(p.GoFiles) > 0 })
}

// badDoc says what is wrong with a package comment; "" if nothing is.
func badDoc(dir, name, text string) string {
	begins := "Package " + name
	if name == "main" {
		begins = path.Base(dir)
	}
	switch {
	case text == "":
		return "no package comment: open with what it is for, what it promises and what it does not"
	case !strings.HasPrefix(text, begins):
		return `the package comment begins "` + firstLine(text) + `", want "` + begins + ` ..."`
	case !strings.Contains(strings.TrimSpace(text), "\n"):
		return "the package comment is one line; say what a newcomer cannot see from the name"
	}
	return ""
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// emptyNames say nothing of what a package or file gives.
var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base", "lib", "pkg"}

func TestNamesSaySomething(t *testing.T) {
	for _, s := range goSources(t) {
		if slices.Contains(emptyNames, strings.TrimSuffix(s.Name.Name, "_test")) {
			t.Errorf("%s: package %s: name it for what it gives", s.name, s.Name.Name)
		}
		file := strings.TrimSuffix(strings.TrimSuffix(path.Base(s.name), ".go"), "_test")
		if slices.Contains(emptyNames, file) {
			t.Errorf("%s: name the file for the noun it holds", s.name)
		}
	}
}

// A note to do something later is an issue, where somebody sees it.
func TestNothingIsLeftForLater(t *testing.T) {
	for _, s := range goSources(t) {
		for _, group := range s.Comments {
			for _, word := range []string{"TO" + "DO", "FIX" + "ME", "XX" + "X"} {
				if slices.Contains(strings.FieldsFunc(group.Text(), notLetter), word) {
					t.Errorf("%s: %s in a comment: do it, or open an issue", s.at(group), word)
				}
			}
		}
	}
}

func notLetter(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }

// mayRunForever are the places outside main and tests that start a context of
// their own, and why no caller's context would be right there.
var mayRunForever = map[string]string{
	"dicom-rpc/internal/blob/settle.go":   "the settling loop outlives the call that starts it; the function it returns ends it",
	"dicom-rpc/internal/resume/resume.go": "the tidying loops outlive the call that starts them; the function it returns ends them",
	"internal/records/recheck.go":         "the recheck loop outlives the call that starts it; the function it returns ends it",
	"internal/sqldb/pgtest/pgtest.go":     "a test's server is started for all tests of the binary, whichever comes first",
	"internal/rpcserver/server.go":        "a process deregisters when its own context has ended already; bounded by deregisterWithin",
}

// No call without a limit: a context that nobody ends keeps work alive after
// its caller has left.
func TestContextsComeFromTheCaller(t *testing.T) {
	used := map[string]bool{}
	for _, s := range goSources(t) {
		for _, use := range freshContexts(s) {
			used[s.name] = true
			if mayRunForever[s.name] == "" {
				t.Errorf("%s: context.%s: take ctx from the caller (context.WithoutCancel(ctx) for what must finish after it); "+
					"where there is truly none, add the file to mayRunForever with the reason", s.at(use), use.Sel.Name)
			}
		}
	}
	for name := range mayRunForever {
		if !used[name] {
			t.Errorf("mayRunForever lists %s, which makes no context of its own: remove the entry", name)
		}
	}
}

func freshContexts(s source) []*ast.SelectorExpr {
	if s.isTest() || s.isMain() {
		return nil
	}
	return s.uses("context", named("Background", "TODO"))
}

// A test that skips where it likes is a test that nobody notices missing.
// internal/corpus skips for foreign files, and fails under REQUIRE_ALL_TESTS=1.
func TestOnlyCorpusSkips(t *testing.T) {
	for _, s := range goSources(t) {
		if under(s.name, "internal/corpus") {
			continue
		}
		for _, n := range skips(s) {
			t.Errorf("%s: a skip: use internal/corpus for foreign files; otherwise bring what the test needs", s.at(n))
		}
	}
}

func skips(s source) []ast.Node {
	var found []ast.Node
	ast.Inspect(s.File, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if ok && slices.Contains([]string{"t", "b", "tb", "f"}, x.Name) && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
			found = append(found, sel)
		}
		return true
	})
	return found
}

func TestWordRulesSeeBreaches(t *testing.T) {
	good := "Package page turns pages.\nIt says how large one is.\n"
	for _, c := range []struct{ dir, name, text, fault string }{
		{"internal/page", "page", good, ""},
		{"internal/page", "page", "", "no package comment"},
		{"internal/page", "page", "Turns pages.\nIn two lines.\n", "begins"},
		{"internal/page", "page", "Package page turns pages.\n", "one line"},
		{"cmd/suite", "main", "suite runs all.\nEach its own process.\n", ""},
		{"cmd/suite", "main", "Package main runs all.\nEach its own process.\n", "begins"},
	} {
		if got := badDoc(c.dir, c.name, c.text); (got == "") != (c.fault == "") || !strings.Contains(got, c.fault) {
			t.Errorf("badDoc(%q) = %q, want %q", c.text, got, c.fault)
		}
	}
	text := "package p\nimport stdctx \"context\"\nvar a, b = stdctx.Background(), stdctx.TODO()\nfunc F(t T) { t.Skip() }\n"
	s := parsed(t, "internal/p/p.go", text)
	if n := len(freshContexts(s)); n != 2 {
		t.Errorf("saw %d fresh contexts, want 2", n)
	}
	if n := len(freshContexts(parsed(t, "internal/p/p_test.go", text))); n != 0 {
		t.Errorf("saw %d fresh contexts in a test, want none", n)
	}
	if n := len(skips(s)); n != 1 {
		t.Errorf("saw %d skips, want 1", n)
	}
}
