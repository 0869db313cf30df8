package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// The page says what the tests say today.
// Shows R55.
func TestPageIsCurrent(t *testing.T) {
	page, err := render(root)
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(root + "/docs/requirements.md")
	if err != nil {
		t.Fatal(err)
	}
	if page != string(written) {
		t.Error("docs/requirements.md is not what the tests say: run go generate ./test/requirements")
	}
}

// kept are the requirements that have been shown; none loses its last test again.
var kept = strings.Fields("R01 R02 R03 R04 R05 R06 R07 R08 R09 R10 R11 R15 R16 R20 R24 R26 R27 R28 R34 R35 R36 R45 R48 R51 R55")

func TestWhatWasShownStaysShown(t *testing.T) {
	all, err := read()
	if err != nil {
		t.Fatal(err)
	}
	if err := findTests(root, all); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if slices.Contains(kept, r.id) && len(r.tests) == 0 {
			t.Errorf("no test shows %s: %s", r.id, r.text)
		}
	}
}

func TestTableIsWhole(t *testing.T) {
	all, err := read()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 57 {
		t.Errorf("%d requirements, want 57", len(all))
	}
}
