// Package store keeps vital signs: the records of internal/records, and beside
// them the newest value of each sign of each subject.
package store

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"clinsource/internal/audit"
	"clinsource/internal/auth"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
)

// Migrations of vitals; they follow those of internal/records.
//
//go:embed sqlite/*.sql postgres/*.sql
var Migrations embed.FS

// Store keeps the records and the newest values.
type Store struct{ *records.Store }

// New makes the store on a database with Migrations.
func New(db *sqldb.DB) *Store { return &Store{records.NewStore(db, auth.Vitals)} }

// Component is one number of a sign, as entered and in canonical unit.
type Component struct {
	Field         string `json:"field"`
	Canonical     string `json:"canonical"`
	CanonicalUnit string `json:"canonical_unit"`
	Entered       string `json:"entered"`
	EnteredUnit   string `json:"entered_unit"`
}

// Latest is the newest value of one sign of one subject.
type Latest struct {
	Patient, Site, Sign string
	MeasuredAt          time.Time
	Record              string
	Components          []Component
	Category            string // Of a blood pressure; "" otherwise.
	Queried             bool
}

// Remember makes each sign's value the newest, unless a newer one is known. It
// belongs into the transaction that writes the record. Of equal times the record
// with the greater id, which came later, is the newest.
func Remember(ctx context.Context, tx *sqldb.Tx, project string, values []Latest) error {
	for _, v := range values {
		components, err := json.Marshal(v.Components)
		if err != nil {
			return err
		}
		var queried int64
		if v.Queried {
			queried = 1
		}
		_, err = tx.Exec(ctx, `INSERT INTO vitals_latest
 (project_id, patient_id, sign, site_id, measured_us, record_id, components, category, queried)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
 ON CONFLICT (project_id, patient_id, sign) DO UPDATE SET
  site_id = excluded.site_id, measured_us = excluded.measured_us, record_id = excluded.record_id,
  components = excluded.components, category = excluded.category, queried = excluded.queried
 WHERE (excluded.measured_us, excluded.record_id) >= (vitals_latest.measured_us, vitals_latest.record_id)`,
			project, v.Patient, v.Sign, v.Site, v.MeasuredAt.UnixMicro(), v.Record, string(components), v.Category, queried)
		if err != nil {
			return err
		}
	}
	return nil
}

// Forget takes a sign's newest value away if the record holds it, and says
// whether it did.
func Forget(ctx context.Context, tx *sqldb.Tx, r *records.Record, sign string) (held bool, err error) {
	done, err := tx.Exec(ctx, `DELETE FROM vitals_latest WHERE project_id = $1 AND patient_id = $2 AND sign = $3 AND record_id = $4`,
		r.Project, r.Patient, sign, r.ID)
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// Previous gives the newest value known of a sign of a subject; false if there
// is none.
func Previous(ctx context.Context, tx *sqldb.Tx, project, patient, sign string) (Latest, bool, error) {
	v, err := scan(tx.QueryRow(ctx, `SELECT `+columns+` FROM vitals_latest WHERE project_id = $1 AND patient_id = $2 AND sign = $3`,
		project, patient, sign))
	if errors.Is(err, sql.ErrNoRows) {
		return v, false, nil
	}
	return v, err == nil, err
}

const columns = `patient_id, site_id, sign, measured_us, record_id, components, category, queried`

type scanner interface{ Scan(dest ...any) error }

func scan(row scanner) (Latest, error) {
	var v Latest
	var measured, queried int64
	var components string
	err := row.Scan(&v.Patient, &v.Site, &v.Sign, &measured, &v.Record, &components, &v.Category, &queried)
	if err != nil {
		return v, err
	}
	v.MeasuredAt, v.Queried = time.UnixMicro(measured).UTC(), queried == 1
	return v, json.Unmarshal([]byte(components), &v.Components)
}

// LatestOf gives a page of the newest values in the scope, by patient and sign.
// The read is audited.
func (s *Store) LatestOf(ctx context.Context, scope auth.Scope, p page.Request) ([]Latest, string, error) {
	f := records.NewFilter(scope.Project)
	if scope.Patient != "" {
		f.And("patient_id = " + f.Arg(scope.Patient))
	}
	f.Sites("site_id", scope)
	if p.After != nil {
		patient, sign, _ := strings.Cut(p.After.ID, "/")
		f.And("(patient_id, sign) > (" + f.Arg(patient) + ", " + f.Arg(sign) + ")")
	}
	limit := f.Arg(int64(p.Limit()))
	rows, err := s.DB().Query(ctx, `SELECT `+columns+` FROM vitals_latest WHERE project_id = $1`+f.Where+`
 ORDER BY patient_id, sign LIMIT `+limit, f.Args...)
	if err != nil {
		return nil, "", records.Fault(err)
	}
	defer rows.Close()
	var list []Latest
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, "", err
		}
		list = append(list, v)
	}
	if err := rows.Err(); err != nil {
		return nil, "", records.Fault(err)
	}
	list, next := page.Trim(p, list, func(v Latest) page.Cursor { return page.Cursor{ID: v.Patient + "/" + v.Sign} })
	return list, next, records.AuditRead(ctx, s.DB(), audit.Event{
		Action: "list", Kind: auth.Vitals, Role: scope.Role, Project: scope.Project, Patient: scope.Patient, Count: len(list),
	})
}
