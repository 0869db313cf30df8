package audit

import (
	"context"
	"database/sql"
	"iter"

	"clinsource/internal/auditlog"
	"clinsource/internal/sqldb"
)

const columns = `lane, idx, at_us, actor, role, peer, source, request_id, method, action, kind, project_id, site_id, patient_id,
 record_id, version, records, fields, digest, outcome, salt, leaf`

type scanner interface{ Scan(dest ...any) error }

func scan(row scanner, more ...any) (r auditlog.Row, err error) {
	dest := []any{&r.Lane, &r.Index, &r.At, &r.Actor, &r.Role, &r.Peer, &r.Source, &r.RequestID, &r.Method, &r.Action, &r.Kind,
		&r.Project, &r.Site, &r.Patient, &r.Record, &r.Version, &r.Records, &r.Fields, &r.Digest, &r.Outcome, &r.Salt, &r.Leaf}
	err = row.Scan(append(dest, more...)...)
	return r, err
}

// pageRows is how many rows are read at once, so that no reader is held for long.
const pageRows = 20000

// Rows gives all rows by lane and place, page by page; those that are in no lane
// (of before the log, or put there by somebody else) come first.
func Rows(ctx context.Context, db *sqldb.DB) iter.Seq2[auditlog.Row, error] {
	return func(yield func(auditlog.Row, error) bool) {
		const outside = `SELECT ` + columns + `, seq FROM audit_events WHERE lane <= 0 AND seq > $1 ORDER BY seq LIMIT $2`
		if !pages(yield, func(after place) ([]auditlog.Row, place, error) {
			return some(ctx, db, outside, after.seq, int64(pageRows))
		}) {
			return
		}
		const ofLane = `SELECT ` + columns + `, seq FROM audit_events
 WHERE lane = $1 AND lane > 0 AND idx >= $2 AND (idx > $2 OR seq > $3) ORDER BY idx, seq LIMIT $4`
		for lane, err := range lanes(ctx, db) {
			if err != nil {
				yield(auditlog.Row{}, err)
				return
			}
			if !pages(yield, func(after place) ([]auditlog.Row, place, error) {
				return some(ctx, db, ofLane, lane, after.index, after.seq, int64(pageRows))
			}) {
				return
			}
		}
	}
}

// lanes gives the numbers of the lanes that have rows.
func lanes(ctx context.Context, db *sqldb.DB) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		for lane := int64(0); ; {
			var next sql.NullInt64
			err := db.QueryRow(ctx, `SELECT MIN(lane) FROM audit_events WHERE lane > $1 AND lane > 0`, lane).Scan(&next)
			if err != nil {
				yield(0, err)
				return
			}
			if lane = next.Int64; !next.Valid || !yield(lane, nil) {
				return
			}
		}
	}
}

// place is where a row lies; seq tells those apart whose place is the same.
type place struct{ index, seq int64 }

// pages yields page after page, until one is not full; false: it was told to stop.
func pages(yield func(auditlog.Row, error) bool, next func(after place) ([]auditlog.Row, place, error)) bool {
	for after := (place{index: -1 << 62, seq: -1 << 62}); ; {
		page, last, err := next(after)
		for _, r := range page {
			if !yield(r, nil) {
				return false
			}
		}
		if err != nil {
			yield(auditlog.Row{}, err)
			return false
		}
		if len(page) < pageRows {
			return true
		}
		after = last
	}
}

func some(ctx context.Context, db *sqldb.DB, query string, args ...any) (page []auditlog.Row, last place, err error) {
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		return nil, last, err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scan(rows, &last.seq)
		if err != nil {
			return page, last, err
		}
		last.index = r.Index
		page = append(page, r)
	}
	return page, last, rows.Err()
}
