package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/internal/audit"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/sqldb/sqldbtest"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/store"
)

// fixture is a registry with one project, one site, and a subject who has
// withdrawn.
type fixture struct {
	*testing.T
	ctx context.Context
	db  *sqldb.DB
	*store.Store
}

var (
	everything = auth.Scope{Project: "trial", AllSites: true, Role: auth.Monitor}
	noon       = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// each runs f on a fixture of every engine.
func each(t *testing.T, f func(f *fixture)) {
	sqldbtest.Each(t, func(t *testing.T, open func(fs.FS) *sqldb.DB) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		t.Cleanup(cancel)
		db := open(records.WithSchema(store.Migrations))
		fix := &fixture{t, ctx, db, store.New(db)}
		_, out, err := fix.CreateProject(ctx, store.Project{ID: "trial", Title: "first"}, auth.Admin)
		fix.want(store.Created, out, err)
		_, out, err = fix.CreateSite(ctx, store.Site{Project: "trial", ID: "s1", Name: "first"}, auth.Admin)
		fix.want(store.Created, out, err)
		_, out, err = fix.CreateSubject(ctx, store.Subject{Project: "trial", Site: "s1", Patient: "p1"}, auth.Admin)
		fix.want(store.Created, out, err)
		_, out, err = fix.Withdraw(ctx, everything, "p1", noon, "noon", "")
		fix.want(store.Created, out, err)
		f(fix)
	})
}

func (f *fixture) want(want, got store.Outcome, err error) {
	f.Helper()
	if err != nil || got != want {
		f.Fatalf("outcome %d, %v; want %d", got, err, want)
	}
}

// rows gives all rows of a table, for comparison.
func (f *fixture) rows(table string, columns ...string) string {
	f.Helper()
	list := strings.Join(columns, " || '|' || ")
	rows, err := f.db.Query(f.ctx, `SELECT `+list+` FROM `+table+` ORDER BY 1`)
	if err != nil {
		f.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			f.Fatal(err)
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		f.Fatal(err)
	}
	return strings.Join(out, "\n")
}

// tables of the registry: their columns, and a row that would take the place of
// one that is there.
var tables = map[string]struct {
	columns []string
	replace string
}{
	"projects": {[]string{"project_id", "title", "received_us"}, `('trial', 'other', 1)`},
	"sites":    {[]string{"project_id", "site_id", "name", "received_us"}, `('trial', 's1', 'other', 1)`},
	"subjects": {[]string{"patient_id", "version", "project_id", "site_id", "state", "withdrawal_us", "withdrawal_text", "reason", "received_us"},
		`('p1', 2, 'trial', 's9', 1, 0, '', '', 1)`},
}

// What is written stays as it is: the database itself refuses to change or
// delete a row, also in the guise of an INSERT.
func TestTheRegistryIsNeverOverwritten(t *testing.T) {
	each(t, func(f *fixture) {
		for table, c := range tables {
			before := f.rows(table, c.columns...)
			for verb, statement := range map[string]string{
				"update":     `UPDATE ` + table + ` SET received_us = 0`,
				"delete":     `DELETE FROM ` + table,
				"no-op":      `UPDATE ` + table + ` SET received_us = received_us`,
				"replace":    `INSERT OR REPLACE INTO ` + table + ` VALUES ` + c.replace,
				"or update":  `INSERT INTO ` + table + ` VALUES ` + c.replace + ` ON CONFLICT DO UPDATE SET received_us = 0`,
				"or nothing": `INSERT INTO ` + table + ` VALUES ` + c.replace + ` ON CONFLICT DO NOTHING`,
			} {
				err := f.db.Write(f.ctx, func(tx *sqldb.Tx) error {
					_, err := tx.Exec(f.ctx, statement)
					return err
				})
				if refused := err != nil && (sqldbtest.OnPostgres(f.T) || strings.Contains(err.Error(), table+" refuses")); refused == (verb == "or nothing") {
					t.Errorf("%s: %s gives %v", table, verb, err)
				}
				if after := f.rows(table, c.columns...); after != before {
					t.Errorf("%s: %s made of\n%s\nthis\n%s", table, verb, before, after)
				}
			}
		}
	})
}

func TestOutcomes(t *testing.T) {
	each(t, func(f *fixture) {
		p, out, err := f.CreateProject(f.ctx, store.Project{ID: "trial", Title: "first"}, auth.Admin)
		f.want(store.Same, out, err)
		if read, found, err := f.Project(f.ctx, "trial"); err != nil || !found || read != p {
			t.Errorf("project %+v, %v, %v; want %+v", read, found, err, p)
		}
		if _, found, err := f.Project(f.ctx, "nowhere"); err != nil || found {
			t.Errorf("an unknown project: %v, %v", found, err)
		}
		_, out, err = f.CreateProject(f.ctx, store.Project{ID: "trial", Title: "second"}, auth.Admin)
		f.want(store.Taken, out, err)
		_, out, err = f.CreateSite(f.ctx, store.Site{Project: "trial", ID: "s1", Name: "first"}, auth.Admin)
		f.want(store.Same, out, err)
		_, out, err = f.CreateSite(f.ctx, store.Site{Project: "trial", ID: "s1", Name: "second"}, auth.Admin)
		f.want(store.Taken, out, err)
		_, out, err = f.CreateSite(f.ctx, store.Site{Project: "nowhere", ID: "s1"}, auth.Admin)
		f.want(store.NoProject, out, err)
		_, out, err = f.CreateSubject(f.ctx, store.Subject{Project: "nowhere", Site: "s1", Patient: "p2"}, auth.Admin)
		f.want(store.NoProject, out, err)
		_, out, err = f.CreateSubject(f.ctx, store.Subject{Project: "trial", Site: "s2", Patient: "p2"}, auth.Admin)
		f.want(store.NoSite, out, err)
	})
}

// The newest version is in force everywhere, and enrolling again does not
// undo it.
func TestTheNewestVersionIsInForce(t *testing.T) {
	each(t, func(f *fixture) {
		want, found, err := f.Subject(f.ctx, "p1")
		if err != nil || !found || want.Version != 2 || want.State != subjectpb.SubjectState_WITHDRAWN || !want.Withdrawal.Equal(noon) || want.WithdrawalText != "noon" {
			t.Fatalf("%+v, %v, %v", want, found, err)
		}
		again, out, err := f.CreateSubject(f.ctx, store.Subject{Project: "trial", Site: "s1", Patient: "p1"}, auth.Admin)
		f.want(store.Same, out, err)
		same, out, err := f.Withdraw(f.ctx, everything, "p1", noon, "12:00", "another reason")
		f.want(store.Same, out, err)
		list, _, err := f.Subjects(f.ctx, everything, page.Request{Size: 10})
		if err != nil || len(list) != 1 || list[0] != want || again != want || same != want {
			t.Errorf("list %+v, %v\nagain %+v\nsame %+v\nwant %+v", list, err, again, same, want)
		}
		if c, err := f.Count(f.ctx, everything); err != nil || c.Subjects != 1 || c.Withdrawn != 1 || !c.Newest.Equal(want.Received) {
			t.Errorf("counts %+v, %v", c, err)
		}
	})
}

func TestWithdrawKeepsToTheScope(t *testing.T) {
	each(t, func(f *fixture) {
		for name, scope := range map[string]auth.Scope{
			"other project": {Project: "elsewhere", AllSites: true},
			"other site":    {Project: "trial", Sites: []string{"s2"}},
			"no site":       {Project: "trial"},
			"other patient": {Project: "trial", AllSites: true, Patient: "p2"},
		} {
			got, out, err := f.Withdraw(f.ctx, scope, "p1", noon, "", "")
			if err != nil || out != store.NoSubject || got != (store.Subject{}) {
				t.Errorf("%s: %+v, %d, %v", name, got, out, err)
			}
		}
		_, out, err := f.Withdraw(f.ctx, everything, "nobody", noon, "", "")
		f.want(store.NoSubject, out, err)
	})
}

// To a reader, an audit row whose commit takes too long is a timeout; there is
// nothing that they might have stored.
func TestAReadIsNeverOfUnknownOutcome(t *testing.T) {
	each(t, func(f *fixture) {
		sqldbtest.OneWriter(f.T, f.db)
		short, release := f.lateWriter()
		err := f.Read(short, audit.Event{Action: "read", Kind: auth.Subjects, Project: "trial"})
		f.wantUnknown(err)
		if got := fault.From(err); got.Code != codes.DeadlineExceeded || got.Reason != fault.ReasonTimeout {
			t.Errorf("got %v, want %s", got, fault.ReasonTimeout)
		}
		release()
	})
}

// A write that has not ended when its caller leaves may still run, while the
// caller holds the answer: the race detector watches that they share nothing.
func TestAWriteThatOutlivesItsCaller(t *testing.T) {
	each(t, func(f *fixture) {
		sqldbtest.OneWriter(f.T, f.db)
		for name, write := range map[string]func(ctx context.Context) (any, error){
			"project": func(ctx context.Context) (any, error) {
				p, _, err := f.CreateProject(ctx, store.Project{ID: "late"}, auth.Admin)
				return p, err
			},
			"site": func(ctx context.Context) (any, error) {
				p, _, err := f.CreateSite(ctx, store.Site{Project: "trial", ID: "late"}, auth.Admin)
				return p, err
			},
			"subject": func(ctx context.Context) (any, error) {
				p, _, err := f.CreateSubject(ctx, store.Subject{Project: "trial", Site: "s1", Patient: "late"}, auth.Admin)
				return p, err
			},
			"withdrawal": func(ctx context.Context) (any, error) {
				p, _, err := f.Withdraw(ctx, everything, "p1", noon, "", "")
				return p, err
			},
		} {
			short, release := f.lateWriter()
			got, err := write(short)
			f.wantUnknown(err)
			if reason := fault.From(err).Reason; reason != fault.ReasonOutcomeUnknown {
				t.Errorf("%s: %v", name, err)
			}
			if text := fmt.Sprint(got); strings.Contains(text, "late") || strings.Contains(text, "p1") {
				t.Errorf("%s: %s is given with an error", name, text)
			}
			release()
		}
	})
}

func (f *fixture) wantUnknown(err error) {
	f.Helper()
	if !errors.Is(err, sqldb.ErrOutcomeUnknown) {
		f.Fatalf("the outcome was known: %v; this shows nothing", err)
	}
}

// lateWriter makes a context under which the next write is run and then waits
// for its commit until its caller has been told that the outcome is not known.
// release waits for the writer.
func (f *fixture) lateWriter() (short context.Context, release func()) {
	const queued, patience, grace = 100 * time.Millisecond, 200 * time.Millisecond, 100 * time.Millisecond
	first, second := time.After(queued), time.After(patience+grace+200*time.Millisecond)
	running, ended := make(chan struct{}, 2), make(chan error, 2)
	hold := func(until <-chan time.Time) {
		ended <- f.db.Write(f.ctx, func(*sqldb.Tx) error {
			running <- struct{}{}
			<-until
			return nil
		})
	}
	go hold(first)
	<-running
	go func() {
		time.Sleep(queued / 2)
		hold(second) // In one batch with the write, and after it.
	}()
	short, cancel := context.WithTimeout(f.ctx, patience)
	return short, func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				f.Error(err)
			}
		}
	}
}
