package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"clinsource/internal/audit"
	"clinsource/internal/auth"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	subjectpb "clinsource/proto/subject"
)

const subjectColumns = `s.patient_id, s.project_id, s.site_id, s.version, s.state, s.withdrawal_us, s.withdrawal_text, s.reason, s.received_us`

// inForce keeps the newest version of each subject.
const inForce = ` AND NOT EXISTS (SELECT 1 FROM subjects n WHERE n.patient_id = s.patient_id AND n.version > s.version)`

type scanner interface{ Scan(dest ...any) error }

func scanSubject(row scanner) (Subject, error) {
	var t Subject
	var state, withdrawal, received int64
	err := row.Scan(&t.Patient, &t.Project, &t.Site, &t.Version, &state, &withdrawal, &t.WithdrawalText, &t.Reason, &received)
	t.State, t.Received = subjectpb.SubjectState(state), time.UnixMicro(received).UTC()
	if t.State == subjectpb.SubjectState_WITHDRAWN {
		t.Withdrawal = time.UnixMicro(withdrawal).UTC()
	}
	return t, err
}

func subject(ctx context.Context, q querier, patient string) (Subject, error) {
	return scanSubject(q.QueryRow(ctx, `SELECT `+subjectColumns+` FROM subjects s WHERE s.patient_id = $1 ORDER BY s.version DESC LIMIT 1`, patient))
}

// Subject gives a subject by patient id, wherever they belong; false if nobody
// knows them. It audits nothing: the caller knows whether a person reads.
func (s *Store) Subject(ctx context.Context, patient string) (Subject, bool, error) {
	t, err := subject(ctx, s.db, patient)
	if errors.Is(err, sql.ErrNoRows) {
		return t, false, nil
	}
	return t, err == nil, records.Fault(err)
}

func insertSubject(ctx context.Context, tx *sqldb.Tx, t Subject) (int64, error) {
	var withdrawal int64
	if !t.Withdrawal.IsZero() {
		withdrawal = t.Withdrawal.UnixMicro()
	}
	return inserted(tx.Exec(ctx, `INSERT INTO subjects
 (patient_id, version, project_id, site_id, state, withdrawal_us, withdrawal_text, reason, received_us)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (patient_id, version) DO NOTHING`,
		t.Patient, int64(t.Version), t.Project, t.Site, int64(t.State), withdrawal, t.WithdrawalText, t.Reason, t.Received.UnixMicro()))
}

// CreateSubject enrols a subject at a site of a project.
func (s *Store) CreateSubject(ctx context.Context, t Subject, role auth.Role) (Subject, Outcome, error) {
	t.Version, t.State, t.Received = 1, subjectpb.SubjectState_ENROLLED, now()
	return write(ctx, s.db, func(tx *sqldb.Tx) (Subject, Outcome, error) {
		var one int64
		err := tx.QueryRow(ctx, `SELECT 1 FROM sites WHERE project_id = $1 AND site_id = $2`, t.Project, t.Site).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			out, err := missing(ctx, tx, t.Project)
			return t, out, err
		}
		if err != nil {
			return t, 0, err
		}
		n, err := insertSubject(ctx, tx, t)
		if err != nil {
			return t, 0, err
		}
		if n == 0 {
			stored, err := subject(ctx, tx, t.Patient)
			return stored, sameOrTaken(stored.Project == t.Project && stored.Site == t.Site), err
		}
		return t, Created, audit.Insert(ctx, tx, t.Received, audit.Event{Action: "create", Kind: auth.Subjects, Role: role, Project: t.Project, Site: t.Site, Patient: t.Patient, Record: t.Patient, Version: 1})
	})
}

// missing says which is: the site, or the whole project.
func missing(ctx context.Context, tx *sqldb.Tx, id string) (Outcome, error) {
	_, err := project(ctx, tx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return NoProject, nil
	}
	return NoSite, err
}

// Withdraw writes the subject's withdrawal as the next version. The scope must
// cover the subject, else it is NoSubject.
func (s *Store) Withdraw(ctx context.Context, scope auth.Scope, patient string, at time.Time, text, reason string) (Subject, Outcome, error) {
	received, at := now(), at.Truncate(time.Microsecond).UTC()
	return write(ctx, s.db, func(tx *sqldb.Tx) (Subject, Outcome, error) {
		t, err := subject(ctx, tx, patient)
		if errors.Is(err, sql.ErrNoRows) || err == nil && (t.Project != scope.Project || !scope.Covers(t.Site, patient)) {
			return Subject{}, NoSubject, nil
		}
		if err != nil {
			return Subject{}, 0, err
		}
		if t.State == subjectpb.SubjectState_WITHDRAWN {
			return t, sameOrTaken(t.Withdrawal.Equal(at)), nil
		}
		t.Version++
		t.State, t.Withdrawal, t.WithdrawalText, t.Reason, t.Received = subjectpb.SubjectState_WITHDRAWN, at, text, reason, received
		if _, err := insertSubject(ctx, tx, t); err != nil {
			return t, 0, err
		}
		return t, Created, audit.Insert(ctx, tx, received, audit.Event{Action: "withdraw", Kind: auth.Subjects, Role: scope.Role, Project: t.Project,
			Site: t.Site, Patient: patient, Record: patient, Version: t.Version})
	}, sqldb.Key("subject", patient)) // The next version rests on the newest.
}

// Subjects lists the subjects in the scope, by id.
func (s *Store) Subjects(ctx context.Context, scope auth.Scope, p page.Request) ([]Subject, string, error) {
	f := records.NewFilter(scope.Project, after(p))
	f.Sites("s.site_id", scope)
	limit := f.Arg(int64(p.Limit()))
	rows, err := s.db.Query(ctx, `SELECT `+subjectColumns+` FROM subjects s
 WHERE s.project_id = $1 AND s.patient_id > $2`+f.Where+inForce+` ORDER BY s.patient_id LIMIT `+limit, f.Args...)
	if err != nil {
		return nil, "", records.Fault(err)
	}
	defer rows.Close()
	var list []Subject
	for rows.Next() {
		t, err := scanSubject(rows)
		if err != nil {
			return nil, "", err
		}
		list = append(list, t)
	}
	if err := rows.Err(); err != nil {
		return nil, "", records.Fault(err)
	}
	list, next := page.Trim(p, list, func(t Subject) page.Cursor { return page.Cursor{ID: t.Patient} })
	return list, next, s.Read(ctx, audit.Event{Action: "list", Kind: auth.Subjects, Role: scope.Role, Project: scope.Project, Count: len(list)})
}

// Counts is what the scope's subjects come to.
type Counts struct {
	Subjects, Withdrawn, Sites int64
	PerSite                    map[string]int64
	Newest                     time.Time // Zero if there is none.
}

// maxSitesCounted bounds Counts.PerSite.
const maxSitesCounted = 1000

// Count counts the subjects in the scope.
func (s *Store) Count(ctx context.Context, scope auth.Scope) (Counts, error) {
	f := records.NewFilter(scope.Project)
	f.Sites("s.site_id", scope)
	c := Counts{PerSite: map[string]int64{}}
	withdrawn := f.Arg(int64(subjectpb.SubjectState_WITHDRAWN))
	rows, err := s.db.Query(ctx, `SELECT s.site_id, COUNT(*), SUM(CASE WHEN s.state = `+withdrawn+` THEN 1 ELSE 0 END), MAX(s.received_us)
 FROM subjects s WHERE s.project_id = $1`+f.Where+inForce+` GROUP BY s.site_id ORDER BY s.site_id`, f.Args...)
	if err != nil {
		return c, records.Fault(err)
	}
	defer rows.Close()
	for rows.Next() {
		var site string
		var n, withdrawn, newest int64
		if err := rows.Scan(&site, &n, &withdrawn, &newest); err != nil {
			return c, err
		}
		c.Subjects, c.Withdrawn = c.Subjects+n, c.Withdrawn+withdrawn
		if len(c.PerSite) < maxSitesCounted {
			c.PerSite[site] = n
		}
		if at := time.UnixMicro(newest).UTC(); at.After(c.Newest) {
			c.Newest = at
		}
	}
	if err := rows.Err(); err != nil {
		return c, records.Fault(err)
	}
	f = records.NewFilter(scope.Project)
	f.Sites("site_id", scope)
	err = s.db.QueryRow(ctx, `SELECT COUNT(*) FROM sites WHERE project_id = $1`+f.Where, f.Args...).Scan(&c.Sites)
	return c, records.Fault(err)
}
