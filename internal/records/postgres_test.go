package records_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clinsource/internal/auth"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/sqldb/pgtest"
	"clinsource/internal/sqldb/sqldbtest"
)

// replicas gives two stores on one schema, as two processes have them.
func replicas(t *testing.T) (*pgtest.Server, *sqldb.Postgres, []*fixture) {
	server := pgtest.Shared(t)
	place := sqldbtest.Schema(t, server, records.WithSchema())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	ctx = auth.WithUser(ctx, &auth.User{Subject: "nurse"})
	var all []*fixture
	for range 2 {
		db, err := sqldb.Open(ctx, sqldb.Config{Postgres: place, Name: "test"}, records.WithSchema())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		all = append(all, &fixture{t, ctx, db, records.NewStore(db, auth.Vitals)})
	}
	return server, place, all
}

// TestReplicasWriteTheSameRecords at once, at several sites: each record is there
// once, both callers get it, and the counts are right.
func TestReplicasWriteTheSameRecords(t *testing.T) {
	_, _, both := replicas(t)
	const n = 100
	var created atomic.Int64
	ids := [2][n]string{}
	var callers sync.WaitGroup
	for i, f := range both {
		for k := range 8 {
			callers.Go(func() {
				for j := k; j < n; j += 8 {
					d := of(draft(fmt.Sprint("c-", j), fmt.Sprint(j)), "p", fmt.Sprint("s", j%3), fmt.Sprint("x", j%7))
					d.Tallies = map[string]int64{"one": 1, "two": 2}
					r, fresh, err := f.store.Put(f.ctx, d)
					if err != nil {
						t.Error(err)
						return
					}
					if fresh {
						created.Add(1)
					}
					ids[i][j] = r.ID
				}
			})
		}
	}
	callers.Wait()
	if ids[0] != ids[1] {
		t.Error("the replicas have given different records for one client_record_id")
	}
	f := both[0]
	sum := f.summary(everything, "")
	if created.Load() != n || f.number(`SELECT COUNT(*) FROM records`) != n || sum.Records != n || sum.Tallies["one"] != n || sum.Tallies["two"] != 2*n ||
		f.number(`SELECT COUNT(*) FROM audit_events WHERE action = 'create'`) != n {
		t.Errorf("%d created, summary %+v", created.Load(), sum)
	}
}

// TestEvenTheOwnerIsRefused by the triggers, on partitions too.
// Shows R04.
func TestEvenTheOwnerIsRefused(t *testing.T) {
	server, place, both := replicas(t)
	f := both[0]
	r, _ := f.put(draft("c-1", "one"))
	partition := "records_" + r.Received.Format("2006_01")
	if n := f.number(`SELECT COUNT(*) FROM records WHERE tableoid = to_regclass($1)`, place.Schema+"."+partition); n != 1 {
		t.Fatalf("the record is not in %s", partition)
	}
	for _, table := range []string{"records", partition, "records_default", "audit_events", "record_ids"} {
		for _, statement := range []string{"UPDATE %s SET project_id = 'q'", "DELETE FROM %s", "TRUNCATE %s CASCADE"} {
			if table == "records_default" && !strings.HasPrefix(statement, "TRUNCATE") {
				continue // Empty: its trigger is a row's.
			}
			statement = fmt.Sprintf(statement, place.Schema+"."+table)
			if err := server.Try("postgres", statement); err == nil || !strings.Contains(err.Error(), " refuses ") {
				t.Errorf("%s: %v, want the trigger's refusal", statement, err)
			}
		}
	}
}

// TestALookUpByIDReadsOnePartition, and what no month takes is in the default.
func TestALookUpByIDReadsOnePartition(t *testing.T) {
	_, place, both := replicas(t)
	f := both[0]
	r, _ := f.put(draft("c-1", "one"))
	rows, err := f.db.Query(f.ctx, `EXPLAIN SELECT version FROM records r WHERE r.record_id = $1 ORDER BY r.version DESC LIMIT 1`, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(plan.String(), " on records_"); n != 1 {
		t.Errorf("%d partitions are read:\n%s", n, plan.String())
	}
	late := draft("c-2", "two")
	late.ID = "made-elsewhere"
	f.put(late)
	if n := f.number(`SELECT COUNT(*) FROM records WHERE tableoid = to_regclass($1)`, place.Schema+".records_default"); n != 1 {
		t.Errorf("%d rows in the default partition", n)
	}
}
