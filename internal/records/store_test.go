package records_test

import (
	"context"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/internal/auth"
	"clinsource/internal/callinfo"
	"clinsource/internal/fault"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/sqldb/sqldbtest"
	recordpb "clinsource/proto/record"
)

// fixture is a store of vitals, and a call of the user "nurse" to it.
type fixture struct {
	*testing.T
	ctx   context.Context
	db    *sqldb.DB
	store *records.Store
}

// each runs f on every engine with an empty store, whose schema has own added.
func each(t *testing.T, f func(*fixture), own ...fs.FS) {
	sqldbtest.Each(t, func(t *testing.T, open func(fs.FS) *sqldb.DB) {
		db := open(records.WithSchema(own...))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		t.Cleanup(cancel)
		ctx = auth.WithUser(ctx, &auth.User{Subject: "nurse"})
		ctx = callinfo.WithPeer(callinfo.WithRequestID(ctx, "req-1"), "project-api")
		f(&fixture{T: t, ctx: ctx, db: db, store: records.NewStore(db, auth.Vitals)})
	})
}

// migration is one more migration, after those of the package.
func migration(sqlite, postgres string) fs.FS {
	return fstest.MapFS{
		"sqlite/00003_test.sql":   {Data: []byte("-- +goose Up\n" + sqlite)},
		"postgres/00003_test.sql": {Data: []byte("-- +goose Up\n" + postgres)},
	}
}

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// draft is a record of patient x at s1 with this client_record_id and content.
func draft(id, content string) records.Draft {
	return records.Draft{
		Record: records.Record{Project: "p", Site: "s1", Patient: "x", ClientRecordID: id, At: noon, Content: []byte(content)},
		Hash:   records.HashOf([]byte(content)),
		Role:   auth.Coordinator,
	}
}

func of(d records.Draft, project, site, patient string) records.Draft {
	d.Project, d.Site, d.Patient = project, site, patient
	return d
}

func (f *fixture) put(d records.Draft) (*records.Record, bool) {
	f.Helper()
	r, created, err := f.store.Put(f.ctx, d)
	if err != nil {
		f.Fatal(err)
	}
	return r, created
}

func (f *fixture) refused(d records.Draft, code codes.Code, reason string) {
	f.Helper()
	r, created, err := f.store.Put(f.ctx, d)
	isFault(f.T, err, code, reason)
	if r != nil || created {
		f.Errorf("a refusal gives the record %+v, created %v", r, created)
	}
}

func isFault(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	if got := fault.From(err); got == nil || got.Code != code || got.Reason != reason {
		t.Errorf("the answer is %v, want %s %s", err, code, reason)
	}
}

// number gives what a SELECT of one number finds.
func (f *fixture) number(query string, args ...any) int64 {
	f.Helper()
	var n int64
	if err := f.db.QueryRow(f.ctx, query, args...).Scan(&n); err != nil {
		f.Fatal(err)
	}
	return n
}

func (f *fixture) exec(statement string, args ...any) error {
	return f.db.Write(f.ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(f.ctx, statement, args...)
		return err
	})
}

// everything is the scope of a monitor of all sites.
var everything = auth.Scope{Project: "p", AllSites: true, Role: auth.Monitor}

// ids lists the record ids in the scope, page by page.
func (f *fixture) ids(scope auth.Scope, patient string, size int32) []string {
	f.Helper()
	var ids []string
	for token := ""; ; {
		p, err := page.Parse(size, token, "test")
		if err != nil {
			f.Fatal(err)
		}
		list, next, err := f.store.List(f.ctx, scope, records.Wanted{Patient: patient}, p)
		if err != nil {
			f.Fatal(err)
		}
		for _, r := range list {
			ids = append(ids, r.ID)
		}
		if token = next; token == "" {
			return ids
		}
	}
}

func (f *fixture) list(scope auth.Scope) []*records.Record {
	f.Helper()
	p, err := page.Parse(1000, "", "test")
	if err != nil {
		f.Fatal(err)
	}
	list, _, err := f.store.List(f.ctx, scope, records.Wanted{}, p)
	if err != nil {
		f.Fatal(err)
	}
	return list
}

func (f *fixture) summary(scope auth.Scope, patient string) records.Summary {
	f.Helper()
	sum, err := f.store.Summarize(f.ctx, scope, patient)
	if err != nil {
		f.Fatal(err)
	}
	return sum
}

func query(rule string) *recordpb.Finding {
	return &recordpb.Finding{RuleId: rule, Severity: recordpb.Severity_QUERY, Fields: []string{"a", "b"}, Message: "look"}
}
