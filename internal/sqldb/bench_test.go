package sqldb

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkWrite64 is the denominator of the project's throughput: 64 callers,
// each inserting a row of ten columns and one of an audit table per operation.
// "alone" is the same with one function per commit.
func BenchmarkWrite64(b *testing.B) {
	for _, run := range []struct {
		name    string
		batch   int
		writers int // of PostgreSQL
	}{{"shared", 0, 0}, {"alone", 1, 0}, {"postgres-1", 0, 1}, {"postgres-2", 0, 2}, {"postgres-4", 0, 4}} {
		b.Run(run.name, func(b *testing.B) {
			db := benchDB(b, Config{Batch: run.batch}, run.writers)
			var next atomic.Int64
			var callers sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range 64 {
				callers.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						if err := writeVitals(db, n); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			callers.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}

func benchDB(b *testing.B, cfg Config, writers int) *DB {
	if writers == 0 {
		return openIn(b, b.TempDir(), cfg, testMigrations)
	}
	place := *schemaFor(b, b.TempDir(), testMigrations)
	place.Writers = writers
	cfg.Postgres, cfg.Name = &place, "test"
	return opened(b, cfg, testMigrations)
}

func writeVitals(db *DB, n int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	now := time.Now().UnixMicro()
	id := fmt.Sprintf("%016x-%016x", now, n)
	return db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO vitals (record_id, project_id, site_id, patient_id, client_record_id,
			measured_at, received_at, systolic, diastolic, temperature)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (project_id, client_record_id) DO NOTHING`,
			id, "demo", "demo-s1", fmt.Sprintf("demo-%03d", n%500), id, now-60, now, 120, 80, "37.2")
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO audit (audit_id, project_id, at, actor, action, record_id)
			VALUES ($1, $2, $3, $4, $5, $6)`, id, "demo", now, "device-1", "create", id)
		return err
	})
}

// BenchmarkRead is a lookup by key from all cores.
func BenchmarkRead(b *testing.B) {
	db := openIn(b, b.TempDir(), Config{}, testMigrations)
	for n := range int64(1000) {
		if err := writeVitals(db, n); err != nil {
			b.Fatal(err)
		}
	}
	var id string
	if err := db.QueryRow(within(b, time.Minute), `SELECT max(client_record_id) FROM vitals`).Scan(&id); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			err := db.QueryRow(ctx, `SELECT systolic FROM vitals WHERE project_id = $1 AND client_record_id = $2`,
				"demo", id).Scan(new(int64))
			cancel()
			if err != nil {
				b.Error(err)
			}
		}
	})
}
