package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Of folders the DICOM Part 10 files are taken; what the command line names is
// taken as it is, and once.
func TestFindFiles(t *testing.T) {
	dir := t.TempDir()
	dicom := append(make([]byte, 128), "DICM and more"...)
	for path, data := range map[string][]byte{
		"a/IM0001": dicom, "a/b/c.dcm": dicom, "a/notes.txt": []byte("x"), "a/long.dcm": make([]byte, 500), "a/empty": nil, "plain.txt": []byte("x"),
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "plain.txt"), filepath.Join(dir, "a", "link.dcm")); err != nil {
		t.Fatal(err)
	}
	at := func(path string) string { return filepath.Join(dir, path) }
	got := map[string]string{}
	for _, f := range findFiles([]string{at("plain.txt"), at("a"), at("a/IM0001"), at("a/../plain.txt"), at("missing")}) {
		path, _ := filepath.Rel(dir, f.path)
		if _, ok := got[path]; ok {
			t.Errorf("%s is there twice", path)
		}
		switch {
		case f.err != nil:
			got[path] = "error"
			if !errors.Is(f.err, fs.ErrNotExist) || strings.Contains(f.err.Error(), dir) {
				t.Errorf("%s: %v", path, f.err)
			}
		case f.skip:
			got[path] = "skipped"
		default:
			got[path] = "sent"
		}
	}
	want := map[string]string{"plain.txt": "sent", "a/IM0001": "sent", "a/b/c.dcm": "sent", "a/notes.txt": "skipped", "a/long.dcm": "skipped",
		"a/empty": "skipped", "missing": "error"}
	for path, state := range want {
		if got[path] != state {
			t.Errorf("%s is %q, want %q", path, got[path], state)
		}
	}
	if len(got) != len(want) {
		t.Errorf("found %v", got)
	}
}

// results are one of each kind.
func results() []uploaded {
	refused := &problem{Status: 400, Reason: "IMAGE_REFUSED", Detail: strings.Repeat("a long sentence ", 20), RequestID: "R"}
	refused.Errors = append(refused.Errors, struct{ Field, Rule, Message string }{"file", "dicom.truncated", "m"})
	return []uploaded{
		{found: found{path: "new.dcm", size: 10}, image: image{ImageID: "i1", Created: true, Findings: []string{"dicom.a", "dicom.b"}}, sent: 10},
		{found: found{path: "old.dcm", size: 20}, image: image{ImageID: "i2"}, resumed: 20},
		{found: found{path: "notes.txt", size: 30, skip: true}},
		{found: found{path: "bad.dcm", size: 40}, err: refused, sent: 40},
	}
}

// A long refusal does not widen the table: its sentence stands below.
func TestTable(t *testing.T) {
	var out, notes bytes.Buffer
	err := reportTo(&out, &notes, false).end(results(), time.Second)
	if err == nil || err.Error() != "1 of 4 files were not stored" {
		t.Errorf("got %v", err)
	}
	want := `FILE       BYTES  RESULT                                         IMAGE ID  FINDINGS
new.dcm    10     stored                                         i1        dicom.a, dicom.b
old.dcm    20     there already                                  i2        
notes.txt  30     skipped: no DICOM                                        
bad.dcm    40     NOT STORED: 400 IMAGE_REFUSED dicom.truncated            
`
	if out.String() != want {
		t.Errorf("the table is\n%s", out.String())
	}
	if !strings.HasPrefix(notes.String(), "bad.dcm: 400 IMAGE_REFUSED: a long sentence") || strings.Count(notes.String(), "\n") != 1 {
		t.Errorf("below it stands\n%s", notes.String())
	}
}

// With --json each line is an object, and the last is the summary.
func TestJSONReport(t *testing.T) {
	var out, notes bytes.Buffer
	r := reportTo(&out, &notes, true)
	for _, u := range results() {
		r.each(u)
	}
	if err := r.end(results(), 1500*time.Millisecond); err == nil || notes.Len() > 0 {
		t.Errorf("got %v and %q", err, notes.String())
	}
	want := []string{
		`{"file":"new.dcm","state":"stored","bytes":10,"bytes_there":0,"bytes_sent":10,"image_id":"i1","findings":["dicom.a","dicom.b"]}`,
		`{"file":"old.dcm","state":"there_already","bytes":20,"bytes_there":20,"bytes_sent":0,"image_id":"i2"}`,
		`{"file":"notes.txt","state":"skipped","bytes":30,"bytes_there":0,"bytes_sent":0}`,
		``,
		`{"summary":{"files":4,"stored":1,"there_already":1,"skipped":1,"not_stored":1,"bytes":70,"bytes_sent":50,"seconds":1.5}}`,
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines: %s", len(lines), out.String())
	}
	for i, line := range lines {
		if !json.Valid([]byte(line)) || want[i] != "" && line != want[i] {
			t.Errorf("line %d is %s", i, line)
		}
	}
	var bad fileJSON
	if err := json.Unmarshal([]byte(lines[3]), &bad); err != nil || bad.State != "not_stored" || bad.Error.Status != 400 || bad.Error.Reason != "IMAGE_REFUSED" ||
		len(bad.Error.Rules) != 1 || bad.Error.Rules[0] != "dicom.truncated" || bad.Error.RequestID != "R" {
		t.Errorf("the bad one: %s", lines[3])
	}
}
