package records

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"clinsource/internal/audit"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/sqldb"
)

const addTotal = `INSERT INTO record_totals (project_id, site_id, patient_id, records, queried, subjects, newest_us)
 VALUES ($1, $2, $3, 1, $4, $5, $6)
 ON CONFLICT (project_id, patient_id, site_id) DO UPDATE SET
  records = record_totals.records + 1,
  queried = record_totals.queried + excluded.queried,
  subjects = record_totals.subjects + excluded.subjects,
  newest_us = CASE WHEN excluded.newest_us > record_totals.newest_us THEN excluded.newest_us ELSE record_totals.newest_us END
 RETURNING records`

const addTally = `INSERT INTO record_tallies (project_id, site_id, patient_id, name, n) VALUES ($1, $2, $3, $4, $5)
 ON CONFLICT (project_id, patient_id, site_id, name) DO UPDATE SET n = record_tallies.n + excluded.n`

// count adds a new record to the totals of its subject and of its site.
func count(ctx context.Context, tx *sqldb.Tx, r *Record, tallies map[string]int64) error {
	var queried, firsts, n int64
	if r.Queried() {
		queried = 1
	}
	if err := tx.QueryRow(ctx, addTotal, r.Project, r.Site, r.Patient, queried, int64(0), r.At.UnixMicro()).Scan(&n); err != nil {
		return err
	}
	if n == 1 {
		firsts = 1
	}
	if err := tx.QueryRow(ctx, addTotal, r.Project, r.Site, "", queried, firsts, r.At.UnixMicro()).Scan(&n); err != nil {
		return err
	}
	return addTallies(ctx, tx, r, tallies, 1)
}

func addTallies(ctx context.Context, tx *sqldb.Tx, r *Record, tallies map[string]int64, times int64) error {
	for _, name := range slices.Sorted(maps.Keys(tallies)) { // In one order: writers of PostgreSQL lock the rows as they go.
		for _, patient := range []string{r.Patient, ""} {
			if _, err := tx.Exec(ctx, addTally, r.Project, r.Site, patient, name, times*tallies[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

const dropTotal = `UPDATE record_totals SET records = records - 1, queried = queried - $4, subjects = subjects - $5
 WHERE project_id = $1 AND site_id = $2 AND patient_id = $3 RETURNING records, newest_us`

// uncount takes out of the totals what count added, for a version that lists no
// longer show.
func uncount(ctx context.Context, tx *sqldb.Tx, r *Record, tallies map[string]int64) error {
	var queried, lasts, n, newest int64
	if r.Queried() {
		queried = 1
	}
	if err := tx.QueryRow(ctx, dropTotal, r.Project, r.Site, r.Patient, queried, int64(0)).Scan(&n, &newest); err != nil {
		return err
	}
	if n == 0 {
		lasts = 1
	}
	if newest == r.At.UnixMicro() {
		if err := renewNewest(ctx, tx, r); err != nil {
			return err
		}
	}
	if err := tx.QueryRow(ctx, dropTotal, r.Project, r.Site, "", queried, lasts).Scan(&n, &newest); err != nil {
		return err
	}
	if newest == r.At.UnixMicro() {
		if err := renewSitesNewest(ctx, tx, r); err != nil {
			return err
		}
	}
	return addTallies(ctx, tx, r, tallies, -1)
}

// renewNewest finds a subject's newest time among the records that still count.
func renewNewest(ctx context.Context, tx *sqldb.Tx, r *Record) error {
	_, err := tx.Exec(ctx, `UPDATE record_totals SET newest_us = COALESCE((SELECT MAX(r.at_us) FROM records r
  WHERE r.project_id = $1 AND r.site_id = $2 AND r.patient_id = $3 AND `+notHidden+`)), 0)
 WHERE project_id = $1 AND site_id = $2 AND patient_id = $3`, r.Project, r.Site, r.Patient)
	return err
}

// renewSitesNewest finds a site's newest time among those of its subjects.
func renewSitesNewest(ctx context.Context, tx *sqldb.Tx, r *Record) error {
	_, err := tx.Exec(ctx, `UPDATE record_totals SET newest_us = COALESCE((SELECT MAX(t.newest_us) FROM record_totals t
  WHERE t.project_id = $1 AND t.site_id = $2 AND t.patient_id <> ''), 0)
 WHERE project_id = $1 AND site_id = $2 AND patient_id = ''`, r.Project, r.Site)
	return err
}

// maxTallies bounds the named counts of a summary, the greatest first: a caller
// may have chosen the names.
const maxTallies = 200

// Summary is what a scope's records come to.
type Summary struct {
	Records, Subjects, Queried int64
	Newest                     time.Time // Zero if there is none.
	Tallies                    map[string]int64
}

// Summarize counts what lies in the scope; patient narrows it to one subject.
func (s *Store) Summarize(ctx context.Context, scope auth.Scope, patient string) (Summary, error) {
	patient, err := narrow(scope, patient)
	if err != nil {
		return Summary{}, err
	}
	f := NewFilter(scope.Project, patient)
	f.Sites("site_id", scope)
	sum := Summary{Tallies: map[string]int64{}}
	var newest int64
	err = s.db.QueryRow(ctx, `SELECT COALESCE(SUM(records), 0), COALESCE(SUM(queried), 0), COALESCE(SUM(subjects), 0), COALESCE(MAX(newest_us), 0)
 FROM record_totals WHERE project_id = $1 AND patient_id = $2`+f.Where, f.Args...).Scan(&sum.Records, &sum.Queried, &sum.Subjects, &newest)
	if err != nil {
		return sum, Fault(err)
	}
	if patient != "" && sum.Records > 0 {
		sum.Subjects = 1
	}
	if sum.Records > 0 {
		sum.Newest = time.UnixMicro(newest).UTC()
	}
	limit := f.Arg(int64(maxTallies))
	rows, err := s.db.Query(ctx, `SELECT name, SUM(n) FROM record_tallies
 WHERE project_id = $1 AND patient_id = $2`+f.Where+` GROUP BY name HAVING SUM(n) > 0 ORDER BY SUM(n) DESC, name LIMIT `+limit, f.Args...)
	if err != nil {
		return sum, Fault(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var n int64
		if err := rows.Scan(&name, &n); err != nil {
			return sum, err
		}
		sum.Tallies[name] = n
	}
	if err := rows.Err(); err != nil {
		return sum, Fault(err)
	}
	return sum, s.audited(ctx, "summarize", scope, patient, int(sum.Records))
}

// audited makes the audit row of a read of many durable before its answer leaves.
func (s *Store) audited(ctx context.Context, action string, scope auth.Scope, patient string, records int) error {
	return s.readAudited(ctx, audit.Event{Action: action, Role: scope.Role, Project: scope.Project, Patient: patient, Count: records})
}

func (s *Store) readAudited(ctx context.Context, e audit.Event) error {
	e.Kind = s.kind
	return AuditRead(ctx, s.db, e)
}

// AuditRead makes the audit row of a read durable, before its answer leaves, and
// gives what a reader may know of a failure.
func AuditRead(ctx context.Context, db *sqldb.DB, e audit.Event) error {
	err := audit.Read(ctx, db, e)
	if errors.Is(err, sqldb.ErrOutcomeUnknown) { // To the reader that is a timeout: nothing of theirs was to be stored.
		return fault.DeadlineExceeded("the time for this call ran out; send it again").Because(err)
	}
	return Fault(err)
}
