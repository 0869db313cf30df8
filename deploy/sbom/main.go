// sbom says what a build is made of. Given binaries it writes a CycloneDX document
// beside each, out of the module information that the Go linker put into it: what
// is really in there, with versions and checksums, not what a file asks for. With
// -table it writes docs/dependencies.md anew, every module with its pinned version
// and the licence that its files hold. Both are the same on every machine.
package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

//go:generate go run . -table ../..

//go:embed licences.tsv
var licences string

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("sbom", flag.ContinueOnError)
	out := flags.String("out", ".", "folder of the documents, NAME.cdx.json")
	root := flags.String("table", "", "write docs/dependencies.md and licences.tsv of the repository in this folder")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *root != "" {
		return writeTable(*root)
	}
	if flags.NArg() == 0 {
		return errors.New("name the binaries, or -table")
	}
	if err := os.MkdirAll(*out, 0o750); err != nil {
		return err
	}
	for _, binary := range flags.Args() {
		text, err := describe(binary)
		if err != nil {
			return fmt.Errorf("%s: %w", binary, err)
		}
		if err := os.WriteFile(filepath.Join(*out, filepath.Base(binary)+".cdx.json"), text, 0o644); err != nil { //nolint:gosec // G306: for everybody, as the binary is.
			return err
		}
	}
	return nil
}

// What of CycloneDX 1.5 is used here.
type document struct {
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Serial     string      `json:"serialNumber"`
	Version    int         `json:"version"`
	Metadata   metadata    `json:"metadata"`
	Components []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	PURL       string     `json:"purl,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Licenses   []licensed `json:"licenses,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type licensed struct {
	Expression string `json:"expression"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// describe makes the document of a binary.
func describe(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	d := document{
		Format: "CycloneDX", Spec: "1.5", Serial: serial(sum), Version: 1,
		Metadata: metadata{component{
			Type: "application", Name: filepath.Base(path), Version: info.Main.Version,
			Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
		}},
		Components: []component{standardLibrary(info.GoVersion)},
	}
	for _, s := range info.Settings {
		d.Metadata.Component.Properties = append(d.Metadata.Component.Properties, property{"go:build:" + s.Key, s.Value})
	}
	known := readLicences(licences)
	for _, m := range info.Deps {
		d.Components = append(d.Components, module(m, known))
	}
	text, err := json.MarshalIndent(d, "", "  ")
	return append(text, '\n'), err
}

func standardLibrary(version string) component {
	v := strings.TrimPrefix(version, "go")
	return component{Type: "library", Name: "std", Version: v, PURL: "pkg:golang/std@" + v, Licenses: []licensed{{"BSD-3-Clause"}}}
}

func module(m *debug.Module, known map[string]string) component {
	if m.Replace != nil {
		m = m.Replace
	}
	c := component{Type: "library", Name: m.Path, Version: m.Version, PURL: "pkg:golang/" + m.Path + "@" + m.Version}
	if licence := known[m.Path]; licence != "" {
		c.Licenses = []licensed{{licence}}
	}
	if m.Sum != "" {
		c.Properties = []property{{"go:sum", m.Sum}}
	}
	return c
}

// serial is a UUID (version 8, RFC 9562) of the binary's digest: the same binary
// has the same document.
func serial(sum [sha256.Size]byte) string {
	b := slices.Clone(sum[:16])
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// readLicences reads lines of module and SPDX expression.
func readLicences(text string) map[string]string {
	known := map[string]string{}
	for line := range strings.Lines(text) {
		path, licence, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if ok {
			known[path] = licence
		}
	}
	return known
}
