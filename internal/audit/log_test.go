package audit_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"clinsource/internal/audit"
	"clinsource/internal/auditlog"
	"clinsource/internal/auth"
	"clinsource/internal/callinfo"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
)

// keyFile makes a pair of keys.
func keyFile(t testing.TB) (config auditlog.Config, public string) {
	t.Helper()
	dir := t.TempDir()
	private, public, err := auditlog.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	config = auditlog.Config{KeyFile: filepath.Join(dir, "audit.key"), CheckpointDir: filepath.Join(dir, "checkpoints"), Every: time.Minute}
	if err := os.WriteFile(config.KeyFile, []byte(private+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return config, public
}

func keysOf(t testing.TB, public ...string) note.Verifiers {
	t.Helper()
	keys, err := auditlog.Keys(strings.Join(public, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func openLog(t testing.TB, ctx context.Context, db *sqldb.DB, c auditlog.Config) *audit.Log {
	t.Helper()
	l, err := audit.Open(ctx, db, "vitals", c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func fill(t testing.TB, ctx context.Context, db *sqldb.DB, n int) {
	t.Helper()
	for done := 0; done < n; {
		some := min(n-done, 5000)
		if err := db.Write(ctx, func(tx *sqldb.Tx) error {
			for i := range some {
				e := audit.Event{Action: "create", Kind: auth.Vitals, Role: auth.Device, Project: "p", Site: "s", Patient: fmt.Sprint("x", i%100), Record: fmt.Sprint("r", done+i), Version: 1}
				if err := audit.Insert(ctx, tx, time.Now(), e); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		done += some
	}
}

// exportOf writes an export as clinctl would.
func exportOf(t testing.TB, ctx context.Context, l *audit.Log, may reads) *bytes.Buffer {
	t.Helper()
	var file bytes.Buffer
	out := json.NewEncoder(&file)
	emit := func(line auditlog.Line) error { return out.Encode(line) }
	if err := emit(auditlog.Line{Header: &auditlog.Header{Format: auditlog.Format, Services: []string{"vitals"}}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Export(ctx, may, emit); err != nil {
		t.Fatal(err)
	}
	return &file
}

// reads is an exporter who may read all rows, or none.
type reads bool

const all = reads(true)

func (r reads) Row(*auditlog.Row) bool { return bool(r) }
func (r reads) Projects() []string     { return []string{"p"} }

func outsideOf(t testing.TB, dir string) []auditlog.Outside {
	t.Helper()
	outside, err := auditlog.ReadOutside(dir)
	if err != nil {
		t.Fatal(err)
	}
	return outside
}

func isWhole(t testing.TB, r auditlog.Report, records int64) {
	t.Helper()
	if len(r.Findings) > 0 || r.Records != records {
		t.Errorf("%d records of %d, %s", r.Records, records, r.Text())
	}
}

// Shows R07.
func TestTheLogIsSealedAndGoesOnAfterARestart(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, db *sqldb.DB) {
		config, public := keyFile(t)
		total := 0
		for _, n := range []int{1, 254, 1, 1, 700, 0, 300} { // Across the ends of subtrees.
			l := openLog(t, ctx, db, config)
			fill(t, ctx, db, n)
			total += n
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		l := openLog(t, ctx, db, config)
		r := auditlog.Verify(exportOf(t, ctx, l, all), keysOf(t, public), []string{"vitals"}, outsideOf(t, config.CheckpointDir))
		isWhole(t, r, int64(total))
		if r.Checkpoints < 6 || r.Checkpoints > 7 {
			t.Errorf("%d checkpoints; nothing new makes none", r.Checkpoints)
		}
		hidden := auditlog.Verify(exportOf(t, ctx, l, reads(false)), keysOf(t, public), nil, nil)
		if isWhole(t, hidden, int64(total)); hidden.Hidden != int64(total) {
			t.Errorf("%d of %d records are hidden", hidden.Hidden, total)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTwoProcessesKeepOneLog(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, db *sqldb.DB) {
		config, public := keyFile(t)
		a, b := openLog(t, ctx, db, config), openLog(t, ctx, db, config)
		for range 20 {
			fill(t, ctx, db, 30)
			done := make(chan error, 2)
			for _, l := range []*audit.Log{a, b} {
				go func() { done <- l.Seal(ctx) }()
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		isWhole(t, auditlog.Verify(exportOf(t, ctx, b, all), keysOf(t, public), nil, outsideOf(t, config.CheckpointDir)), 600)
		for _, l := range []*audit.Log{a, b} {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestTheKeyChangesUnderTheLog: what the old key signed stays proven, by a list of
// both; a key file that cannot be read does not stop the log.
func TestTheKeyChangesUnderTheLog(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, db *sqldb.DB) {
		config, old := keyFile(t)
		l := openLog(t, ctx, db, config)
		seal := func() {
			fill(t, ctx, db, 10)
			if err := l.Seal(ctx); err != nil {
				t.Fatal(err)
			}
		}
		seal()
		fresh, public := keyFile(t)
		text, err := os.ReadFile(fresh.KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(config.KeyFile, text, 0o600); err != nil {
			t.Fatal(err)
		}
		seal()
		if err := os.Remove(config.KeyFile); err != nil {
			t.Fatal(err)
		}
		seal()
		file := exportOf(t, ctx, l, all).Bytes()
		isWhole(t, auditlog.Verify(bytes.NewReader(file), keysOf(t, old, public), nil, nil), 30)
		for _, one := range []string{old, public} {
			if r := auditlog.Verify(bytes.NewReader(file), keysOf(t, one), nil, nil); len(r.Findings) == 0 || r.Findings[0].Wrong != auditlog.Forged {
				t.Errorf("with one key of the two: %v", r.Findings)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Shows R04.
func TestTheDatabaseRefusesToChangeTheLog(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, db *sqldb.DB) {
		config, _ := keyFile(t)
		l := openLog(t, ctx, db, config)
		fill(t, ctx, db, 300)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{
			`UPDATE audit_events SET actor = 'x'`, `UPDATE audit_events SET leaf = 'x' WHERE idx = 3`, `DELETE FROM audit_events WHERE idx = 3`,
			`UPDATE audit_subtrees SET hash = 'x'`, `DELETE FROM audit_subtrees`,
			`UPDATE audit_checkpoints SET note = 'x'`, `DELETE FROM audit_checkpoints`,
		} {
			err := db.Write(ctx, func(tx *sqldb.Tx) error { _, err := tx.Exec(ctx, statement); return err })
			if err == nil {
				t.Errorf("%s is taken", statement)
			}
		}
		doubled := `INSERT INTO audit_events (at_us, actor, role, peer, request_id, action, kind, project_id, site_id, patient_id, record_id, version, records, lane, idx)
 SELECT at_us, actor, role, peer, request_id, action, kind, project_id, site_id, patient_id, record_id, version, records, lane, idx FROM audit_events WHERE idx = 3`
		if err := db.Write(ctx, func(tx *sqldb.Tx) error { _, err := tx.Exec(ctx, doubled); return err }); err == nil {
			t.Error("a second row in the same place is taken")
		}
	})
}

// howMany records the tampering is searched in: 100,000 in make test-faults.
func howMany(t testing.TB) int {
	t.Helper()
	text := os.Getenv("CLINSOURCE_AUDIT_RECORDS")
	if text == "" {
		return 6000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// withoutTriggers opens a database as somebody who may do everything with it.
func withoutTriggers(t testing.TB, path string) *sql.DB {
	t.Helper()
	raw, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	raw.SetMaxOpenConns(1)
	rows, err := raw.QueryContext(t.Context(), `SELECT name FROM sqlite_master WHERE type = 'trigger'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var drop []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		drop = append(drop, "DROP TRIGGER "+name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, statement := range append(drop, "DROP INDEX audit_events_in_lane") {
		if _, err := raw.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return raw
}

// Shows R07.
func TestTamperingWithTheDatabaseIsFoundAndNamed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	n := howMany(t)
	config, public := keyFile(t)
	whole := filepath.Join(t.TempDir(), "whole.db")
	open := func(path string) *sqldb.DB {
		db, err := sqldb.Open(ctx, sqldb.Config{Path: path}, records.WithSchema())
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open(whole)
	l := openLog(t, ctx, db, config)
	for range 10 {
		fill(t, ctx, db, n/10)
		if err := l.Seal(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	const columns = `at_us, actor, role, peer, request_id, action, kind, project_id, site_id, patient_id, record_id, version, records, source, method, fields, digest, outcome, salt, leaf`
	cases := map[string]func(exec func(statement string, args ...any), i int) string{
		"edited": func(exec func(string, ...any), i int) string {
			exec(`UPDATE audit_events SET actor = 'nobody' WHERE idx = $1`, i)
			return fmt.Sprintf("edited: vitals, record %d of lane 1", i)
		},
		"deleted": func(exec func(string, ...any), i int) string {
			exec(`DELETE FROM audit_events WHERE idx = $1`, i)
			return fmt.Sprintf("deleted: vitals, record %d of lane 1", i)
		},
		"deleted and closed up": func(exec func(string, ...any), i int) string {
			exec(`DELETE FROM audit_events WHERE idx = $1`, i)
			exec(`UPDATE audit_events SET idx = idx - 1 WHERE idx > $1`, i)
			return fmt.Sprintf("deleted: vitals, record %d of lane 1", i)
		},
		"inserted": func(exec func(string, ...any), i int) string {
			exec(`INSERT INTO audit_events (`+columns+`, lane, idx) SELECT `+columns+`, lane, idx FROM audit_events WHERE idx = $1`, i)
			return fmt.Sprintf("inserted: vitals, record %d of lane 1", i)
		},
		"inserted without a place": func(exec func(string, ...any), i int) string {
			exec(`INSERT INTO audit_events (at_us, actor, role, peer, request_id, action, kind, project_id, site_id, patient_id, record_id, version, records)
 SELECT at_us, actor, role, peer, request_id, action, kind, project_id, site_id, patient_id, record_id, version, records FROM audit_events WHERE idx = $1`, i)
			return "inserted: vitals, record 0 of lane 0"
		},
		"reordered": func(exec func(string, ...any), i int) string {
			other := (i + n/3) % n
			exec(`UPDATE audit_events SET idx = CASE idx WHEN $1 THEN $2 ELSE $1 END WHERE idx IN ($1, $2)`, i, other)
			return fmt.Sprintf("reordered: vitals, record %d of lane 1: what stands here was record %d", min(i, other), max(i, other))
		},
		"truncated": func(exec func(string, ...any), i int) string {
			exec(`DELETE FROM audit_events WHERE idx >= $1`, i)
			return fmt.Sprintf("truncated: vitals, record %d of lane 1", i)
		},
		"truncated with its checkpoints": func(exec func(string, ...any), _ int) string {
			exec(`DELETE FROM audit_events WHERE idx >= $1`, n/10*7)
			exec(`DELETE FROM audit_checkpoints WHERE seq > 7`)
			exec(`DELETE FROM audit_subtrees WHERE (n + 1) * 256 > $1`, n/10*7)
			return fmt.Sprintf("truncated: vitals, record %d of lane 1: checkpoint 8, kept outside", n/10*7)
		},
		"forged head": func(exec func(string, ...any), _ int) string {
			exec(`UPDATE audit_checkpoints SET note = replace(note, 'lane 1 ', 'lane 1 1') WHERE seq = 5`)
			return "forged head: vitals, checkpoint 5"
		},
	}
	for name, tamper := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tampered.db")
			data, err := os.ReadFile(whole)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			raw := withoutTriggers(t, path)
			want := tamper(func(statement string, args ...any) {
				if _, err := raw.ExecContext(ctx, statement, args...); err != nil {
					t.Fatal(err)
				}
			}, 1+rand.IntN(n-3))
			if err := raw.Close(); err != nil {
				t.Fatal(err)
			}
			db := open(path)
			elsewhere := config
			elsewhere.CheckpointDir = t.TempDir()
			l := openLog(t, ctx, db, elsewhere)
			begun := time.Now()
			r := auditlog.Verify(exportOf(t, ctx, l, all), keysOf(t, public), []string{"vitals"}, outsideOf(t, config.CheckpointDir))
			took := time.Since(begun)
			if !strings.HasPrefix(r.Text(), want) {
				t.Errorf("it says %q, want %q", r.Text(), want)
			}
			t.Logf("%d records exported and verified in %v: %s", n, took.Round(time.Millisecond), r.Text())
			if took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			_ = l.Close() // Its lane is broken; that is what it says.
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestCheckpointsOutsideAreWhole: also after a folder that was away, and a line that
// a crash tore.
func TestCheckpointsOutsideAreWhole(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, db *sqldb.DB) {
		config, public := keyFile(t)
		if err := os.WriteFile(config.CheckpointDir, []byte("a file is in the folder's place"), 0o600); err != nil {
			t.Fatal(err)
		}
		l := openLog(t, ctx, db, config)
		for range 3 {
			fill(t, ctx, db, 5)
			if err := l.Seal(ctx); err == nil {
				t.Fatal("nobody says that the checkpoints cannot be written")
			}
		}
		if err := os.Remove(config.CheckpointDir); err != nil {
			t.Fatal(err)
		}
		if err := l.Seal(ctx); err != nil {
			t.Fatal(err)
		}
		names, err := filepath.Glob(filepath.Join(config.CheckpointDir, "vitals-*.jsonl"))
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		file, err := os.OpenFile(names[0], os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(`{"service":"vitals","se`); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = openLog(t, ctx, db, config)
		fill(t, ctx, db, 5)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		outside := outsideOf(t, config.CheckpointDir)
		if len(outside) != 4 {
			t.Errorf("%d checkpoints lie outside", len(outside))
		}
		for _, o := range outside {
			if _, err := auditlog.OpenCheckpoint(o.Note, keysOf(t, public)); err != nil {
				t.Error(err)
			}
		}
	})
}

// Shows R11.
func TestRefusalsAreKept(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, db *sqldb.DB) {
		config, _ := keyFile(t)
		l := openLog(t, ctx, db, config)
		known := callinfo.WithMethod(auth.WithUser(ctx, &auth.User{Subject: "nurse"}), "/vitals.VitalsService/ListVitals")
		l.Refused(known, auditlog.Refusal{Method: "/vitals.VitalsService/ListVitals", Reason: "NO_GRANT", Project: "p", Patient: "x", Count: 1})
		refused := func() (list []string) {
			for r, err := range audit.Rows(ctx, db) {
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, fmt.Sprint(r.Action, " ", r.Actor, " ", r.Source, " ", r.Method, " ", r.Outcome, " ", r.Project, " ", r.Patient, " ", r.Records))
			}
			return list
		}
		want := []string{"refused nurse  /vitals.VitalsService/ListVitals NO_GRANT p x 1"}
		if diff := cmp.Diff(want, refused()); diff != "" {
			t.Errorf("before the answer leaves: -want +got:\n%s", diff)
		}
		for range 3 { // Of nobody knows whom: together, at the stop at the latest.
			l.Refused(ctx, auditlog.Refusal{Source: "partner", Method: "/vitals.VitalsService/ListVitals", Reason: "TOKEN_INVALID", Count: 1})
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append(want, "refused  partner /vitals.VitalsService/ListVitals TOKEN_INVALID   3"), refused()); diff != "" {
			t.Errorf("after the stop: -want +got:\n%s", diff)
		}
	})
}

// Shows R08, R10.
func TestWhoReadOrChangedASubjectsData(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, db *sqldb.DB) {
		for _, e := range []audit.Event{
			{Action: "create", Kind: auth.Vitals, Project: "p", Site: "s", Patient: "x", Record: "1", Version: 1},
			{Action: "list", Kind: auth.Vitals, Project: "p", Patient: "y", Count: 3},
			{Action: "list", Kind: auth.Vitals, Project: "p", Count: 3},
			{Action: "list", Kind: auth.Vitals, Project: "other", Count: 3},
			{Action: "list", Kind: auth.Sites, Project: "p", Count: 3},
			{Action: "summarize", Kind: auth.Vitals, Project: "p", Patient: "x", Count: 1},
		} {
			if err := audit.Read(ctx, db, e); err != nil {
				t.Fatal(err)
			}
		}
		names := func(list []audit.Found, err error) (all []string) {
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range list {
				all = append(all, f.Action+" "+f.Kind+" "+f.Patient)
			}
			return all
		}
		if diff := cmp.Diff([]string{"summarize vitals x", "list vitals ", "create vitals x"}, names(audit.Accesses(ctx, db, "p", "s", audit.Query{Patient: "x", Limit: 10}))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		everything := auth.Scope{Project: "p", AllSites: true}
		if diff := cmp.Diff([]string{"summarize vitals x"}, names(audit.List(ctx, db, everything, audit.Query{Action: "summarize", Limit: 10}))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		own := auth.Scope{Project: "p", AllSites: true, Patient: "y"}
		if diff := cmp.Diff([]string{"list vitals y"}, names(audit.List(ctx, db, own, audit.Query{Limit: 10}))); diff != "" {
			t.Errorf("a scope of one patient: -want +got:\n%s", diff)
		}
		site := auth.Scope{Project: "p", Sites: []string{"s"}}
		if diff := cmp.Diff([]string{"create vitals x"}, names(audit.List(ctx, db, site, audit.Query{Limit: 10}))); diff != "" {
			t.Errorf("a scope of one site: -want +got:\n%s", diff)
		}
	})
}
