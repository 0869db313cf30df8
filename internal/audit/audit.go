// Package audit keeps who did what to which record. A change's audit row is
// written in the change's own transaction (Insert), a read's row is durable
// before the answer leaves (Read): no effect without its row, no row without
// its effect. The rows lie in the service's own database, in the table
// audit_events, which refuses update and delete.
//
// A row names ids only (actor, project, site, subject, record), never a value.
package audit

import (
	"context"
	"time"

	"clinsource/internal/auth"
	"clinsource/internal/callinfo"
	"clinsource/internal/sqldb"
)

// Event is one audit row; who and when are taken from the call.
type Event struct {
	Action  string // create, read, list, summarize, withdraw, verify.
	Kind    auth.Kind
	Role    auth.Role // The role that allowed it.
	Project string
	Site    string
	Patient string
	Record  string // Record id, if it is one record.
	Version int32
	Count   int // Records read, for reads.
}

const insert = `INSERT INTO audit_events
 (at_us, actor, role, peer, request_id, action, kind, project_id, site_id, patient_id, record_id, version, records)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`

// Insert writes the event in the transaction of its effect.
func Insert(ctx context.Context, tx *sqldb.Tx, now time.Time, e Event) error {
	_, err := tx.Exec(ctx, insert, now.UnixMicro(), auth.UserFrom(ctx).Subject, string(e.Role), callinfo.Peer(ctx),
		callinfo.RequestID(ctx), e.Action, string(e.Kind), e.Project, e.Site, e.Patient, e.Record, int64(e.Version), int64(e.Count))
	return err
}

// Read makes the event of a read durable. Call it before the answer leaves.
func Read(ctx context.Context, db *sqldb.DB, e Event) error {
	return db.Write(ctx, func(tx *sqldb.Tx) error { return Insert(ctx, tx, time.Now(), e) })
}
