package records_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"clinsource/internal/auth"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
)

func benchStore(b *testing.B) (*records.Store, context.Context) {
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	b.Cleanup(cancel)
	db, err := sqldb.Open(ctx, sqldb.Config{Path: filepath.Join(b.TempDir(), "bench.db")}, records.WithSchema())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return records.NewStore(db, auth.Vitals), auth.WithUser(ctx, &auth.User{Subject: "nurse"})
}

// BenchmarkPut64 is what 64 callers write at once: the audit row is part of it.
func BenchmarkPut64(b *testing.B) {
	store, ctx := benchStore(b)
	var n atomic.Int64
	b.SetParallelism(32) // On two processors.
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			d := draft(fmt.Sprintf("c-%d", i), "content")
			d.Patient = fmt.Sprintf("x-%d", i%500)
			if _, _, err := store.Put(ctx, d); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkList64 reads pages of 50 rows, each with its durable audit row.
func BenchmarkList64(b *testing.B) {
	store, ctx := benchStore(b)
	for i := range 200 {
		if _, _, err := store.Put(ctx, draft(fmt.Sprintf("c-%d", i), "content")); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := store.List(ctx, everything, records.Wanted{Patient: "x"}, page.Request{Size: 50}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
