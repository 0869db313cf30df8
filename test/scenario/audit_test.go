package scenario

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clinsource/internal/auditlog"
)

// auditExport exports the log of the running suite, verifies it, and gives its rows.
func auditExport(t *testing.T) (file string, rows []*auditlog.Row) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "export.jsonl")
	clinctl(t, "audit", "export", "--out", file)
	if out := clinctl(t, "audit", "verify", "--in", file, "--key", "certs/dev/audit.pub"); !strings.HasPrefix(out, "whole: ") {
		t.Errorf("verify says %s", out)
	}
	text, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var line auditlog.Line
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Row != nil {
			rows = append(rows, line.Row)
		}
	}
	return file, rows
}

// Each record says who, when, what, by which call and through which process, whatever
// a caller claims in headers; and an export that was edited is found out.
//
// Shows R01, R07, R08, R10, R15.
func TestAuditRecordsAreWhole(t *testing.T) {
	w := newWorld(t)
	begun := time.Now().Add(-time.Second)
	s := w.full(t, "s1")
	for _, path := range []string{"", "/vitals", "/images", "/reports", "/medications", "/access-log"} {
		w.admin.get(t, s.path+path, "Date", "Mon, 01 Jan 2001 00:00:00 GMT", "X-Audit-Time", "2001-01-01T00:00:00Z", "X-Actor", "somebody").want(t, 200)
	}
	clinctl(t, "audit", "show", "--project", w.project, "--subject", s.id, "--format", "csv")
	file, rows := auditExport(t)
	seen := map[string]bool{}
	for _, r := range rows {
		if r.Project != w.project || r.Action == "refused" {
			continue
		}
		at := time.UnixMicro(r.At)
		if at.Before(begun.Add(-time.Minute)) || at.After(time.Now().Add(time.Second)) || r.Actor == "" || r.Actor == "somebody" || r.Role == "" || r.Peer == "" || r.Kind == "" ||
			r.RequestID == "" || !strings.HasPrefix(r.Method, "/") || r.Action == "create" && (r.Record == "" || r.Version != 1) {
			t.Errorf("the record is not whole: %+v", r)
		}
		seen[r.Action+" "+r.Kind] = true
	}
	for _, want := range []string{"create subjects", "create vitals", "create images", "create reports", "create medications", "list vitals", "list images",
		"list reports", "list medications", "summarize vitals", "access-log audit", "list audit"} {
		if !seen[want] {
			t.Errorf("nothing says %s; there is %v", want, seen)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), `"patient_id":"`+s.id+`"`, `"patient_id":"somebody"`, 1)
	if err := os.WriteFile(file, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("bin/clinctl", "audit", "verify", "--in", file, "--key", "certs/dev/audit.pub").Output()
	if err == nil || !strings.HasPrefix(string(out), "edited: ") {
		t.Errorf("of an edited export verify says %q, %v", out, err)
	}
}
