package records_test

import (
	"strings"
	"testing"

	"clinsource/internal/auth"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/sqldb/sqldbtest"
)

// lastEvent reads the newest audit row in one line.
func (f *fixture) lastEvent() string {
	f.Helper()
	var actor, role, peer, request, action, kind, project, site, patient, record string
	var version, count, at int64
	err := f.db.QueryRow(f.ctx, `SELECT actor, role, peer, request_id, action, kind, project_id, site_id, patient_id, record_id, version, records, at_us
 FROM audit_events ORDER BY seq DESC LIMIT 1`).Scan(&actor, &role, &peer, &request, &action, &kind, &project, &site, &patient, &record, &version, &count, &at)
	if err != nil {
		f.Fatal(err)
	}
	if at == 0 || actor != "nurse" || peer != "project-api" || request != "req-1" || kind != "vitals" {
		f.Errorf("the row says at %d %s, %s, %s, %s", at, actor, peer, request, kind)
	}
	return strings.Join([]string{action, role, project, site, patient, map[bool]string{true: "one", false: "many"}[record != ""]}, " ")
}

func TestEveryWriteAndReadHasItsRow(t *testing.T) {
	each(t, func(f *fixture) {
		rows := func() int64 { return f.number(`SELECT COUNT(*) FROM audit_events`) }
		says := func(want string, n int64) {
			f.Helper()
			if got := f.lastEvent(); got != want || rows() != n {
				f.Errorf("row %d of %d is %q, want %q", rows(), n, got, want)
			}
		}
		r, _ := f.put(draft("c-1", "one"))
		says("create coordinator p s1 x one", 1)
		f.put(draft("c-1", "one"))
		says("create coordinator p s1 x one", 1)
		f.ids(everything, "", 10)
		says("list monitor p   many", 2)
		f.ids(everything, "x", 10)
		says("list monitor p  x many", 3)
		f.ids(auth.Scope{Project: "p", AllSites: true, Patient: "x", Role: auth.Patient}, "", 10)
		says("list patient p  x many", 4)
		f.summary(everything, "")
		says("summarize monitor p   many", 5)
		if err := f.store.ReadOne(f.ctx, auth.Partner, r); err != nil {
			f.Fatal(err)
		}
		says("read partner p s1 x one", 6)
	})
}

// TestNoEffectWithoutItsRow: when the audit row cannot be written, nothing is
// stored and nothing is shown.
// Shows R06.
func TestNoEffectWithoutItsRow(t *testing.T) {
	broken := migration(`-- +goose StatementBegin
CREATE TRIGGER audit_is_broken BEFORE INSERT ON audit_events WHEN NEW.request_id = 'req-1' BEGIN SELECT RAISE(ABORT, 'broken'); END;
-- +goose StatementEnd
`, `ALTER TABLE audit_events ADD CHECK (request_id <> 'req-1');`)
	each(t, func(f *fixture) {
		if r, created, err := f.store.Put(f.ctx, draft("c-1", "one")); err == nil || r != nil || created {
			f.Errorf("the write answers %+v, %v, %v", r, created, err)
		}
		for _, table := range []string{"records", "record_ids", "record_totals", "audit_events"} {
			if n := f.number(`SELECT COUNT(*) FROM ` + table); n != 0 {
				f.Errorf("%d rows stay in %s", n, table)
			}
		}
		first, err := page.Parse(10, "", "test")
		if err != nil {
			f.Fatal(err)
		}
		if _, _, err := f.store.List(f.ctx, everything, records.Wanted{}, first); err == nil {
			f.Error("a list is answered that is not audited")
		}
		if _, err := f.store.Summarize(f.ctx, everything, ""); err == nil {
			f.Error("a summary is answered that is not audited")
		}
	}, broken)
}

// TestTheDatabaseRefusesChange, by every statement that could do it.
// Shows R04.
func TestTheDatabaseRefusesChange(t *testing.T) {
	each(t, func(f *fixture) {
		f.put(draft("c-1", "one"))
		const record = ` INTO records SELECT project_id, record_id, version, site_id, patient_id, client_record_id, at_us, received_us, 'forged', findings FROM records`
		const event = ` INTO audit_events (seq, at_us, actor, role, peer, request_id, action, kind, project_id, site_id, patient_id, record_id, version, records)
 SELECT seq, at_us, 'forged', role, peer, request_id, action, kind, project_id, site_id, patient_id, record_id, version, records FROM audit_events`
		replaced := []string{`INSERT OR REPLACE` + record, `REPLACE` + record, `INSERT OR REPLACE` + event,
			`UPDATE OR REPLACE audit_events SET actor = 'forged'`}
		if sqldbtest.OnPostgres(f.T) {
			const upsert = ` ON CONFLICT (project_id, record_id, version) DO UPDATE SET content = 'forged'`
			replaced = []string{`INSERT` + record + upsert, `INSERT` + event, `TRUNCATE records`, `TRUNCATE audit_events`,
				`UPDATE record_ids SET record_id = 'forged'`, `DELETE FROM record_ids`, `ALTER TABLE records DISABLE TRIGGER ALL`,
				`DROP TABLE audit_events`, `DELETE FROM records_default`}
		}
		for _, statement := range append(replaced,
			`UPDATE records SET content = 'forged'`,
			`UPDATE records SET version = 2`,
			`DELETE FROM records`,
			`UPDATE audit_events SET actor = 'forged'`,
			`DELETE FROM audit_events`,
			`DELETE FROM audit_events WHERE seq = (SELECT MAX(seq) FROM audit_events)`,
		) {
			if err := f.exec(statement); err == nil {
				f.Errorf("%.40s... is done", statement)
			}
		}
		if f.number(`SELECT COUNT(*) FROM records WHERE content = 'one'`) != 1 || f.number(`SELECT COUNT(*) FROM audit_events WHERE actor = 'nurse'`) != 1 {
			f.Error("the rows have changed")
		}
	})
}
