// Package repo_test holds rules about the tree itself, those that a reviewer
// would otherwise repeat: who may import whom, what every package and error
// reason must explain, and what must never be checked in. Each message says
// why, and what to do instead.
//
// The rules look at what git tracks or would add, so that build outputs and
// data of a running suite do not count. .golangci.yml mirrors those rules that
// a linter can show in an editor; what holds is here, because `make test` needs
// nothing but Go and git.
package repo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"clinsource/internal/corpus"
)

const module = "clinsource"

// pkg is one package of this module, as go list tells it; import paths are
// without the module's name: vitals-rpc/vitalsign.
type pkg struct {
	ImportPath   string
	Dir          string
	Name         string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string // Of the package itself.
	TestImports  []string // Of its tests, in either form.
	XTestImports []string
}

// list asks go list. -e: a package that somebody is editing right now may not
// compile; its imports still count.
func list(t *testing.T) ([]pkg, error) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e",
		"-json=ImportPath,Dir,Name,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading go list's answer: %w", err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module+"/")
		for _, imports := range []*[]string{&p.Imports, &p.TestImports, &p.XTestImports} {
			for i := range *imports {
				(*imports)[i] = strings.TrimPrefix((*imports)[i], module+"/")
			}
		}
		p.TestImports = slices.Concat(p.TestImports, p.XTestImports)
		all = append(all, p)
	}
}

// What the tests look at is read once.
var (
	packagesOnce sync.Once
	packagesList []pkg
	packagesErr  error

	trackedOnce sync.Once
	trackedList []string
	trackedErr  error

	sourcesOnce sync.Once
	sourcesList []source
)

// packages gives all packages of the module.
func packages(t *testing.T) []pkg {
	t.Helper()
	packagesOnce.Do(func() { packagesList, packagesErr = list(t) })
	if packagesErr != nil || len(packagesList) == 0 {
		t.Fatalf("go list named %d packages: %v", len(packagesList), packagesErr)
	}
	return packagesList
}

// tracked lists the files that are in git or would be by git add, relative to
// the root, with forward slashes.
func tracked(t *testing.T) []string {
	t.Helper()
	trackedOnce.Do(func() {
		// A checkout owned by another user (a container's) is still this checkout.
		cmd := exec.CommandContext(t.Context(), "git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
		cmd.Dir = corpus.Root(t)
		out, err := cmd.Output()
		trackedErr = err
		trackedList = strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
	})
	if trackedErr != nil || len(trackedList) == 0 {
		t.Fatalf("git ls-files named %d files (%v): these rules look at a git checkout", len(trackedList), trackedErr)
	}
	return trackedList
}

// content reads one tracked file; ok is false if it went away meanwhile.
func content(t *testing.T, name string) (text []byte, ok bool) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(corpus.Root(t), filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return text, true
}

// source is one parsed Go file of the module.
type source struct {
	name string // Relative to the root.
	fset *token.FileSet
	*ast.File
}

// at gives file:line of a node.
func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.name, s.fset.Position(n.Pos()).Line)
}

func (s source) isTest() bool      { return strings.HasSuffix(s.name, "_test.go") }
func (s source) isMain() bool      { return s.Name.Name == "main" }
func (s source) isGenerated() bool { return ast.IsGenerated(s.File) }

// goSources parses every Go file of the module. A file that does not parse is
// the compiler's to report.
func goSources(t *testing.T) []source {
	t.Helper()
	sourcesOnce.Do(func() {
		for _, name := range tracked(t) {
			if path.Ext(name) != ".go" || under(name, "tools") {
				continue
			}
			if text, ok := content(t, name); ok {
				sourcesList = appendParsed(sourcesList, name, text)
			}
		}
	})
	return sourcesList
}

func appendParsed(all []source, name string, text []byte) []source {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	if err != nil {
		return all
	}
	return append(all, source{name, fset, file})
}

// parsed makes a source out of text, to try a rule on.
func parsed(t *testing.T, name, text string) source {
	t.Helper()
	all := appendParsed(nil, name, []byte(text))
	if len(all) == 0 {
		t.Fatalf("%s does not parse", name)
	}
	return all[0]
}

// uses gives every place in a file that names one of an imported package's
// functions or constants, whatever the import is called there. wanted reports
// which names count.
func (s source) uses(importPath string, wanted func(name string) bool) []*ast.SelectorExpr {
	local := s.localName(importPath)
	if local == "" {
		return nil
	}
	var found []*ast.SelectorExpr
	ast.Inspect(s.File, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == local && wanted(sel.Sel.Name) {
			found = append(found, sel)
		}
		return true
	})
	return found
}

// localName is what a file calls an import, or "" if it does not import it.
func (s source) localName(importPath string) string {
	for _, spec := range s.Imports {
		if strings.Trim(spec.Path.Value, `"`) != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}

// named is a wanted for uses.
func named(names ...string) func(string) bool {
	return func(name string) bool { return slices.Contains(names, name) }
}
