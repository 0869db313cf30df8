package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// used is a module of the table.
type used struct {
	Path, Version, Dir string
	Indirect           bool
	licence            string
	in                 []string // product, etcd, tests.
}

// parts of what we build, and the packages that they begin with.
var parts = []struct {
	name, dir string
	tests     bool
	packages  []string
}{
	{"product", ".", false, []string{"./vitals-rpc", "./dicom-rpc", "./epro-rpc", "./subject-rpc", "./project-api", "./cmd/..."}},
	{"etcd", "tools", false, []string{"go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/etcdctl/v3"}},
	{"tests", ".", true, []string{"./..."}},
}

func writeTable(root string) error {
	table, licences, err := makeTable(root)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(root, "docs/dependencies.md"), table, 0o644), //nolint:gosec // G306: sources.
		os.WriteFile(filepath.Join(root, "deploy/sbom/licences.tsv"), licences, 0o644)) //nolint:gosec // G306: sources.
}

func makeTable(root string) (table, licences []byte, err error) {
	all := map[string]*used{}
	for _, part := range parts {
		modules, err := list(filepath.Join(root, part.dir), part.tests, part.packages)
		if err != nil {
			return nil, nil, err
		}
		for _, m := range modules {
			key := m.Path + "@" + m.Version
			if all[key] == nil {
				all[key] = m
			}
			if in := all[key].in; !slices.Contains(in, part.name) && (part.name != "tests" || !slices.Contains(in, "product")) {
				all[key].in = append(in, part.name)
			}
		}
	}
	var page, tsv bytes.Buffer
	page.WriteString(heading)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		m := all[key]
		if m.licence, err = licenceOf(m.Dir); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", m.Path, err)
		}
		direct := ""
		if !m.Indirect {
			direct = "direct"
		}
		fmt.Fprintf(&page, "| %s | %s | %s | %s | %s |\n", m.Path, m.Version, m.licence, strings.Join(m.in, ", "), direct)
		if line := m.Path + "\t" + m.licence + "\n"; !bytes.Contains(tsv.Bytes(), []byte(line)) {
			tsv.WriteString(line)
		}
	}
	return page.Bytes(), tsv.Bytes(), nil
}

const heading = `# Dependencies

Made by ` + "`make generate`" + ` out of the modules that are linked; a test holds it to them. Versions are pinned by go.mod, their
content by go.sum. What each direct dependency is for is in [architecture](architecture.md#direct-dependencies).
` + "`make build`" + ` writes what is in each binary to bin/sbom/NAME.cdx.json (CycloneDX), and the images carry it as /sbom.cdx.json.
Whether a version has a known vulnerability is not checked here: the database (govulncheck's) is not reachable from where
this is built without a network. Feed the CycloneDX documents to a scanner that has one.

product: in a process or clinctl. etcd: in the etcd that runs beside. tests: in none of them.

| module | version | licence | in | |
|---|---|---|---|---|
`

// list gives the modules whose packages are linked.
func list(dir string, tests bool, packages []string) ([]*used, error) {
	args := []string{"list", "-tags=no_k8s", "-deps", "-json=Module"}
	if tests {
		args = append(args, "-test")
	}
	c := exec.Command("go", append(args, packages...)...) //nolint:gosec,noctx // G204: the arguments are the table above; go generate ends it.
	c.Dir = dir
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	found := map[string]*used{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ Module *used }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return slices.Collect(maps.Values(found)), nil
		} else if err != nil {
			return nil, err
		}
		if p.Module != nil && p.Module.Version != "" { // None: the standard library, or our own.
			found[p.Module.Path] = p.Module
		}
	}
}

// marks are words by which a licence is known. A file may hold several.
var marks = []struct{ words, id string }{
	{"Apache License", "Apache-2.0"},
	{"Mozilla Public License", "MPL-2.0"},
	{"Permission is hereby granted, free of charge", "MIT"},
	{"Permission to use, copy, modify, and/or distribute", "ISC"},
	{"Permission to use, copy, modify, and distribute this software", "ISC"},
	{"GNU GENERAL PUBLIC LICENSE", "GPL"}, {"GNU AFFERO GENERAL PUBLIC LICENSE", "AGPL"}, {"GNU LESSER GENERAL PUBLIC LICENSE", "LGPL"},
}

// licenceOf reads the licence files at a module's root.
func licenceOf(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var ids []string
	for _, e := range entries {
		upper := strings.ToUpper(e.Name())
		if e.IsDir() || !strings.HasPrefix(upper, "LICEN") && !strings.HasPrefix(upper, "COPYING") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		ids = append(ids, recognised(string(data))...)
	}
	if len(ids) == 0 {
		return "", errors.New("its licence is not recognised: look at it, and add its words to marks")
	}
	slices.Sort(ids)
	return strings.Join(slices.Compact(ids), " AND "), nil
}

func recognised(text string) (ids []string) {
	text = strings.Join(strings.Fields(text), " ")
	for _, m := range marks {
		if strings.Contains(text, m.words) {
			ids = append(ids, m.id)
		}
	}
	if strings.Contains(text, "Redistribution and use in source and binary forms") {
		if strings.Contains(text, "Neither the name") || strings.Contains(text, "nor the names of") || strings.Contains(text, "name of the") {
			return append(ids, "BSD-3-Clause")
		}
		return append(ids, "BSD-2-Clause")
	}
	return ids
}
