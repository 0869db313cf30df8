// Package audit keeps who did what to which record. A change's audit row is
// written in the change's own transaction (Insert), a read's row is durable
// before the answer leaves (Read): no effect without its row, no row without
// its effect. The rows lie in the service's own database, in the table
// audit_events, which refuses update and delete.
//
// A row names ids only (actor, project, site, subject, record), never a value; of
// a stored version it holds the digest.
//
// # The log
//
// Each row is a leaf of a transparency log (package auditlog): it has a lane, its
// place there and a commitment to its text. A lane is what one writer's connection
// appends to and nobody else (sqldb.Lane), so that a place costs no lock and has no
// gap. The lanes are few, as many as writers were ever open at once, because a
// connection goes on with the lane that another has left: one lane for each start
// of a process would be thousands in the years of a trial, and a checkpoint lists
// them all.
package audit

import (
	"context"
	"strings"
	"time"

	"clinsource/internal/auditlog"
	"clinsource/internal/auth"
	"clinsource/internal/callinfo"
	"clinsource/internal/clock"
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

	Fields  []string // Paths that an amendment changed: "systolic_bp".
	Digest  string   // SHA-256 of the version as it is stored, in hex.
	Outcome string   // Empty: it was done. Else why not: a reason of internal/fault.
	Source  string   // Where refused calls came from, when nobody could be named.
}

const (
	nextIndex = `SELECT COALESCE(MAX(idx) + 1, 0) FROM audit_events WHERE lane = $1 AND lane > 0`
	insert    = `INSERT INTO audit_events
 (at_us, actor, role, peer, request_id, action, kind, project_id, site_id, patient_id, record_id, version, records,
  source, method, fields, digest, outcome, lane, idx, salt, leaf)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)`
)

// Insert writes the event in the transaction of its effect. now is the server's
// time of the effect ([clock.Now]); no caller has a part in it.
func Insert(ctx context.Context, tx *sqldb.Tx, now time.Time, e Event) error {
	lane := tx.Lane()
	if lane.Next < 0 { // Once a transaction: its later rows count on.
		if err := tx.QueryRow(ctx, nextIndex, lane.Number).Scan(&lane.Next); err != nil {
			return err
		}
	}
	r := auditlog.Row{
		Lane: lane.Number, Index: lane.Next, At: now.UnixMicro(),
		Actor: auth.UserFrom(ctx).Subject, Role: string(e.Role), Peer: callinfo.Peer(ctx), Source: e.Source,
		RequestID: callinfo.RequestID(ctx), Method: callinfo.Method(ctx), Action: e.Action, Kind: string(e.Kind),
		Project: e.Project, Site: e.Site, Patient: e.Patient, Record: e.Record, Version: int64(e.Version), Records: int64(e.Count),
		Fields: strings.Join(e.Fields, "\n"), Digest: e.Digest, Outcome: e.Outcome, Salt: auditlog.NewSalt(),
	}
	_, err := tx.Exec(ctx, insert, r.At, r.Actor, r.Role, r.Peer, r.RequestID, r.Action, r.Kind, r.Project, r.Site, r.Patient,
		r.Record, r.Version, r.Records, r.Source, r.Method, r.Fields, r.Digest, r.Outcome, r.Lane, r.Index, r.Salt, r.Hash().String())
	if err != nil {
		return err
	}
	lane.Next++
	return nil
}

// Read makes the event of a read durable. Call it before the answer leaves.
func Read(ctx context.Context, db *sqldb.DB, e Event) error {
	return db.Write(ctx, func(tx *sqldb.Tx) error { return Insert(ctx, tx, clock.Now(), e) })
}
