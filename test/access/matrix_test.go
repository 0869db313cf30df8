package access_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"gopkg.in/yaml.v3"

	_ "clinsource/proto/access" // Each package of proto/, for its descriptors.
	_ "clinsource/proto/audit"
	_ "clinsource/proto/dicom"
	_ "clinsource/proto/epro"
	_ "clinsource/proto/medication"
	_ "clinsource/proto/record"
	_ "clinsource/proto/subject"
	_ "clinsource/proto/vitals"
	"clinsource/test/access"
)

// rpcs names every RPC of every service that is in proto/.
func rpcs(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("../../proto/*/*.proto")
	if err != nil || len(files) == 0 {
		t.Fatal(len(files), err)
	}
	for _, file := range files {
		d, err := protoregistry.GlobalFiles.FindFileByPath(strings.TrimPrefix(filepath.ToSlash(file), "../../"))
		if err != nil {
			t.Fatalf("%s: %v: import its package in matrix_test.go", file, err)
		}
		for i := range d.Services().Len() {
			names = append(names, methods(d.Services().Get(i))...)
		}
	}
	return names
}

func methods(s protoreflect.ServiceDescriptor) (names []string) {
	for i := range s.Methods().Len() {
		names = append(names, string(s.FullName())+"/"+string(s.Methods().Get(i).Name()))
	}
	return names
}

// paths names every route, as the contract writes it. Another test holds the
// contract against the gateway's table of routes.
func paths(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile("../../project-api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var contract struct {
		Paths map[string]map[string]yaml.Node
	}
	if err := yaml.Unmarshal(text, &contract); err != nil {
		t.Fatal(err)
	}
	for path, item := range contract.Paths {
		for method := range item {
			names = append(names, strings.ToUpper(method)+" "+path)
		}
	}
	return names
}

// TestEveryCallHasARow: nothing is offered that nobody has thought about.
//
// Shows R20.
func TestEveryCallHasARow(t *testing.T) {
	offered := append(rpcs(t), paths(t)...)
	var rows []string
	for _, r := range access.Rows {
		if slices.Contains(rows, r.Call) {
			t.Errorf("%s has two rows", r.Call)
		}
		rows = append(rows, r.Call)
		if !slices.Contains(offered, r.Call) {
			t.Errorf("%s has a row and is not offered: take the row out of test/access/rows.go", r.Call)
		}
	}
	for _, call := range offered {
		if !slices.Contains(rows, call) {
			t.Errorf("%s has no row: say in test/access/rows.go which action on which kind of record it is, and what it names; then make generate", call)
		}
	}
}

func TestTheMatrixIsShown(t *testing.T) {
	shown, err := os.ReadFile("../../docs/access-matrix.md")
	if err != nil || string(shown) != access.Markdown() {
		t.Errorf("docs/access-matrix.md is not what the rows and the policy make of it (%v): make generate, and look at what has changed", err)
	}
}
