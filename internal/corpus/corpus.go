// Package corpus finds the foreign test files (DICOM and clinical data that
// nobody here wrote). They are not part of this repository: they lie in the
// folder shared/ beside the checkout, and tests read them in place. Where they
// are missing a test skips, unless REQUIRE_ALL_TESTS=1 (CI), where that is a
// failure.
package corpus

import (
	"encoding/csv"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Shared gives the path of one file or folder under shared/, for example
// Shared(t, "corpus", "dicom").
func Shared(t testing.TB, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{filepath.Dir(Root(t)), "shared"}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("REQUIRE_ALL_TESTS") == "1" {
			t.Fatalf("the foreign corpus is required and missing: %v", err)
		}
		t.Skipf("no foreign corpus beside this checkout: %v", err)
	}
	return path
}

// Tool says that the test needs a program of the machine; where it is missing
// the test skips, or with REQUIRE_ALL_TESTS=1 fails.
func Tool(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("REQUIRE_ALL_TESTS") == "1" {
			t.Fatalf("%s is required and missing", name)
		}
		t.Skipf("no %s on this machine", name)
	}
}

// Root gives the folder of this module's go.mod.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = parent
	}
}

// Table reads a tab-separated file with a header line into one map a row.
func Table(t testing.TB, path string) []map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma = '\t'
	r.LazyQuotes = true
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil || len(rows) == 0 {
		t.Fatalf("%s: %d rows, %v", path, len(rows), err)
	}
	var table []map[string]string
	for _, row := range rows[1:] {
		m := map[string]string{}
		for i, name := range rows[0] {
			if i < len(row) {
				m[name] = row[i]
			}
		}
		table = append(table, m)
	}
	return table
}
