package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"clinsource/internal/sqldb"
)

// shape is what the uploads of a run have left in a database.
type shape struct {
	records, ids, creates int64
	signs, categories     int64   // Rows of newest values; tallies.
	content               float64 // Mean bytes of a record.
}

// checkSameWrite compares what the bare queue and vitals-rpc have written, so
// that the ratio's denominator cannot quietly become another piece of work.
func checkSameWrite(ctx context.Context, bare, service string) error {
	a, err := shapeOf(ctx, bare)
	if err != nil {
		return err
	}
	b, err := shapeOf(ctx, service)
	if err != nil {
		return err
	}
	return a.same(b)
}

func (a shape) same(b shape) error {
	for _, s := range []shape{a, b} {
		if s.records == 0 || s.ids != s.records || s.creates != s.records {
			return fmt.Errorf("%d records have %d identities and %d audit rows: one each is what an upload writes", s.records, s.ids, s.creates)
		}
	}
	if a.signs != b.signs {
		return fmt.Errorf("the bare write keeps %d newest values, vitals-rpc %d: correct engine.go", a.signs, b.signs)
	}
	if (a.categories == 0) != (b.categories == 0) {
		return fmt.Errorf("the bare write keeps %d tallies, vitals-rpc %d: correct engine.go", a.categories, b.categories)
	}
	if math.Abs(a.content/b.content-1) > 0.1 {
		return fmt.Errorf("the bare write's content has %.0f bytes, vitals-rpc's %.0f: correct engine.go", a.content, b.content)
	}
	return nil
}

// shapeOf looks at a database that nobody has open any more. Only the bench's
// project counts: the demonstration has other signs.
func shapeOf(ctx context.Context, path string) (shape, error) {
	db, err := sqldb.Open(ctx, sqldb.Config{Path: path}, migrations())
	if err != nil {
		return shape{}, err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var s shape
	const ours = `project_id LIKE 'bench-%'`
	for _, q := range []struct {
		sql  string
		into any
	}{
		{`SELECT COUNT(*) FROM records WHERE ` + ours, &s.records},
		{`SELECT COUNT(*) FROM record_ids WHERE ` + ours, &s.ids},
		{`SELECT COUNT(*) FROM audit_events WHERE action = 'create' AND ` + ours, &s.creates},
		{`SELECT COUNT(*) FROM vitals_latest WHERE patient_id NOT LIKE '%` + listedSuffix + `' AND ` + ours, &s.signs},
		{`SELECT COUNT(*) FROM record_tallies WHERE ` + ours, &s.categories},
		{`SELECT AVG(LENGTH(content)) FROM records WHERE ` + ours, &s.content},
	} {
		if err := db.QueryRow(ctx, q.sql).Scan(q.into); err != nil {
			return s, err
		}
	}
	return s, nil
}
