package audit_test

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clinsource/internal/audit"
	"clinsource/internal/auth"
	"clinsource/internal/callinfo"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/sqldb/sqldbtest"
)

// row is one row of audit_events as it lies in the table.
type row struct {
	At                                                                       int64
	Actor, Role, Peer, Request, Action, Kind, Project, Site, Patient, Record string
	Version, Records                                                         int64
}

func rows(t *testing.T, ctx context.Context, db *sqldb.DB) (list []row) {
	t.Helper()
	found, err := db.Query(ctx, `SELECT at_us, actor, role, peer, request_id, action, kind, project_id, site_id, patient_id, record_id, version, records
 FROM audit_events ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var r row
		if err := found.Scan(&r.At, &r.Actor, &r.Role, &r.Peer, &r.Request, &r.Action, &r.Kind, &r.Project, &r.Site, &r.Patient, &r.Record, &r.Version, &r.Records); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func each(t *testing.T, f func(*testing.T, context.Context, *sqldb.DB)) {
	sqldbtest.Each(t, func(t *testing.T, open func(fs.FS) *sqldb.DB) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		f(t, ctx, open(records.WithSchema()))
	})
}

func TestTheRowSaysWhoDidWhat(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, db *sqldb.DB) {
		ctx = auth.WithUser(ctx, &auth.User{Subject: "nurse"})
		ctx = callinfo.WithPeer(callinfo.WithRequestID(ctx, "req-1"), "project-api")
		now := time.Now()
		event := audit.Event{Action: "create", Kind: auth.Vitals, Role: auth.Coordinator,
			Project: "p", Site: "s", Patient: "x", Record: "r", Version: 2, Count: 3}
		if err := db.Write(ctx, func(tx *sqldb.Tx) error { return audit.Insert(ctx, tx, now, event) }); err != nil {
			t.Fatal(err)
		}
		want := []row{{now.UnixMicro(), "nurse", "coordinator", "project-api", "req-1", "create", "vitals", "p", "s", "x", "r", 2, 3}}
		if diff := cmp.Diff(want, rows(t, ctx, db)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestAReadIsDurableOrFails(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, db *sqldb.DB) {
		before := time.Now()
		if err := audit.Read(ctx, db, audit.Event{Action: "list", Kind: auth.Images, Project: "p", Count: 7}); err != nil {
			t.Fatal(err)
		}
		list := rows(t, ctx, db)
		if len(list) != 1 || list[0].Action != "list" || list[0].Records != 7 || list[0].At < before.UnixMicro() || list[0].Actor != "" {
			t.Errorf("the rows are %+v", list)
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if err := audit.Read(gone, db, audit.Event{Action: "list"}); !errors.Is(err, context.Canceled) {
			t.Errorf("a read whose caller has left: %v", err)
		}
	})
}

func TestNoRowWithoutItsEffect(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, db *sqldb.DB) {
		boom := errors.New("boom")
		err := db.Write(ctx, func(tx *sqldb.Tx) error {
			if err := audit.Insert(ctx, tx, time.Now(), audit.Event{Action: "create"}); err != nil {
				return err
			}
			return boom
		})
		if list := rows(t, ctx, db); !errors.Is(err, boom) || len(list) != 0 {
			t.Errorf("%v, and the rows are %+v", err, list)
		}
	})
}

// Shows R04, R06.
func TestEveryLaneIsWithoutGaps(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, db *sqldb.DB) {
		boom := errors.New("boom")
		var writing sync.WaitGroup
		for i := range 200 {
			writing.Go(func() {
				err := db.Write(ctx, func(tx *sqldb.Tx) error {
					if err := audit.Insert(ctx, tx, time.Now(), audit.Event{Action: "create", Fields: []string{"a", "b"}}); err != nil {
						return err
					}
					if i%7 == 0 {
						return boom
					}
					return nil
				})
				if (err != nil) != (i%7 == 0) {
					t.Errorf("write %d: %v", i, err)
				}
			})
		}
		writing.Wait()
		last := map[int64]int64{}
		n := 0
		for r, err := range audit.Rows(ctx, db) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			before, begun := last[r.Lane]
			if begun && r.Index != before+1 || !begun && r.Index != 0 || r.Lane < 1 {
				t.Errorf("in lane %d, %d follows %d", r.Lane, r.Index, before)
			}
			last[r.Lane] = r.Index
			if r.Hash().String() != r.Leaf {
				t.Errorf("row %d of lane %d is not what its leaf commits to", r.Index, r.Lane)
			}
		}
		if n != 200-29 {
			t.Errorf("%d rows", n)
		}
	})
}
