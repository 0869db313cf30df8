package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// allowed are the licences that may be linked: none of them asks more of a product
// than to keep notices, or (MPL) changes to its own files open.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

func TestDependenciesAreListed(t *testing.T) {
	table, tsv, err := makeTable("../..")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]byte{"../../docs/dependencies.md": table, "licences.tsv": tsv} {
		have, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s is not what is linked (%v): run make generate", path, err)
		}
	}
	for module, licence := range readLicences(string(tsv)) {
		for _, id := range strings.Split(licence, " AND ") {
			if !slices.Contains(allowed, id) {
				t.Errorf("%s is under %s, which may not be linked", module, id)
			}
		}
	}
}

func TestABinaryTellsItsModules(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	first, err := describe(self)
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(first, &d); err != nil {
		t.Fatal(err)
	}
	if d.Format != "CycloneDX" || len(d.Components) == 0 || d.Components[0].Name != "std" || d.Metadata.Component.Name != filepath.Base(self) ||
		!regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(d.Serial) {
		t.Errorf("the document is %.600s", first)
	}
	again, err := describe(self)
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("the same binary has two documents (%v)", err)
	}
	if _, err := describe("main.go"); err == nil {
		t.Error("a source is described as a binary")
	}
}

func TestLicencesAreRecognised(t *testing.T) {
	for text, want := range map[string]string{
		"Apache License\n   Version 2.0": "Apache-2.0", "Permission is hereby\n granted, free of charge": "MIT",
		"Redistribution and use in source and binary forms ... Neither the name": "BSD-3-Clause",
		"Redistribution and use in source and binary forms":                      "BSD-2-Clause",
		"GNU AFFERO GENERAL PUBLIC LICENSE":                                      "AGPL", "All rights reserved": "",
	} {
		if got := strings.Join(recognised(text), " "); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
