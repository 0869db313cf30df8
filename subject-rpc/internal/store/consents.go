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
	"clinsource/internal/subjects"
	subjectpb "clinsource/proto/subject"
)

// Consent is one entry: a subject consented to a purpose, or withdrew the consent,
// as of a time.
type Consent struct {
	Patient, Project, Site, Purpose string
	State                           subjectpb.ConsentState
	FormVersion                     string
	At                              time.Time
	AtText                          string
	Actor                           string
	Received                        time.Time
	Current                         bool // The newest of its purpose.
}

const consentColumns = `c.patient_id, c.project_id, c.site_id, c.purpose, c.state, c.form_version, c.at_us, c.at_text, c.actor, c.received_us`

func scanConsent(row scanner, more ...any) (Consent, error) {
	var c Consent
	var state, at, received int64
	err := row.Scan(append([]any{&c.Patient, &c.Project, &c.Site, &c.Purpose, &state, &c.FormVersion, &at, &c.AtText, &c.Actor, &received}, more...)...)
	c.State, c.At, c.Received = subjectpb.ConsentState(state), time.UnixMicro(at).UTC(), time.UnixMicro(received).UTC()
	return c, err
}

// RecordConsent writes the entry unless there is one of its purpose as of its time.
// The scope must cover the subject, else it is NoSubject.
func (s *Store) RecordConsent(ctx context.Context, scope auth.Scope, c Consent) (Consent, Outcome, error) {
	c.Received, c.At, c.Actor = now(), c.At.Truncate(time.Microsecond).UTC(), auth.UserFrom(ctx).Subject
	return write(ctx, s.db, func(tx *sqldb.Tx) (Consent, Outcome, error) {
		stored, out, err := recordConsent(ctx, tx, scope, c)
		if err != nil || out != Created && out != Same {
			return stored, out, err
		}
		var newer int64
		err = tx.QueryRow(ctx, `SELECT COUNT(*) FROM consents WHERE patient_id = $1 AND purpose = $2 AND at_us > $3`,
			c.Patient, c.Purpose, c.At.UnixMicro()).Scan(&newer)
		stored.Current = newer == 0
		return stored, out, err
	}, sqldb.Key("subject", c.Patient))
}

func recordConsent(ctx context.Context, tx *sqldb.Tx, scope auth.Scope, c Consent) (Consent, Outcome, error) {
	t, err := subject(ctx, tx, c.Patient)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (t.Project != scope.Project || !scope.Covers(t.Site, c.Patient)) {
		return Consent{}, NoSubject, nil
	}
	if err != nil {
		return Consent{}, 0, err
	}
	stored, err := scanConsent(tx.QueryRow(ctx, `SELECT `+consentColumns+` FROM consents c WHERE c.patient_id = $1 AND c.purpose = $2 AND c.at_us = $3`,
		c.Patient, c.Purpose, c.At.UnixMicro()))
	if err == nil {
		return stored, sameOrTaken(stored.State == c.State && stored.FormVersion == c.FormVersion), nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return c, 0, err
	}
	c.Project, c.Site = t.Project, t.Site
	if err := insertConsent(ctx, tx, c); err != nil {
		return c, 0, err
	}
	return c, Created, audit.Insert(ctx, tx, c.Received, audit.Event{Action: "consent", Kind: auth.Consents, Role: scope.Role, Project: t.Project,
		Site: t.Site, Patient: c.Patient, Record: c.Purpose, Fields: []string{c.State.String()}})
}

func insertConsent(ctx context.Context, tx *sqldb.Tx, c Consent) error {
	_, err := tx.Exec(ctx, `INSERT INTO consents
 (patient_id, purpose, at_us, project_id, site_id, state, form_version, at_text, actor, received_us)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		c.Patient, c.Purpose, c.At.UnixMicro(), c.Project, c.Site, int64(c.State), c.FormVersion, c.AtText, c.Actor, c.Received.UnixMicro())
	return err
}

// Consents lists a subject's entries, newest first. The read is audited.
func (s *Store) Consents(ctx context.Context, scope auth.Scope, t Subject, p page.Request) ([]Consent, string, error) {
	f := records.NewFilter(t.Patient)
	if p.After != nil {
		f.And("(c.at_us, c.purpose) < (" + f.Arg(p.After.At) + ", " + f.Arg(p.After.ID) + ")")
	}
	limit := f.Arg(int64(p.Limit()))
	rows, err := s.db.Query(ctx, `SELECT `+consentColumns+`,
 CASE WHEN EXISTS (SELECT 1 FROM consents n WHERE n.patient_id = c.patient_id AND n.purpose = c.purpose AND n.at_us > c.at_us) THEN 0 ELSE 1 END
 FROM consents c WHERE c.patient_id = $1`+f.Where+` ORDER BY c.at_us DESC, c.purpose DESC LIMIT `+limit, f.Args...)
	if err != nil {
		return nil, "", records.Fault(err)
	}
	defer rows.Close()
	var list []Consent
	for rows.Next() {
		var current int64
		c, err := scanConsent(rows, &current)
		if err != nil {
			return nil, "", err
		}
		c.Current = current == 1
		list = append(list, c)
	}
	if err := rows.Err(); err != nil {
		return nil, "", records.Fault(err)
	}
	list, next := page.Trim(p, list, func(c Consent) page.Cursor { return page.Cursor{At: c.At.UnixMicro(), ID: c.Purpose} })
	return list, next, s.Read(ctx, audit.Event{Action: "list", Kind: auth.Consents, Role: scope.Role, Project: t.Project, Site: t.Site, Patient: t.Patient, Count: len(list)})
}

// Gaps gives the times during which a subject's consents were withdrawn.
func (s *Store) Gaps(ctx context.Context, patient string) ([]subjects.Gap, error) {
	rows, err := s.db.Query(ctx, `SELECT purpose, state, at_us FROM consents WHERE patient_id = $1 ORDER BY purpose, at_us`, patient)
	if err != nil {
		return nil, records.Fault(err)
	}
	defer rows.Close()
	var gaps []subjects.Gap
	open := false // Whether the newest gap has no end yet.
	for rows.Next() {
		var purpose string
		var state, us int64
		if err := rows.Scan(&purpose, &state, &us); err != nil {
			return nil, err
		}
		at := time.UnixMicro(us).UTC()
		open = open && gaps[len(gaps)-1].Purpose == purpose
		switch withdrawn := subjectpb.ConsentState(state) == subjectpb.ConsentState_CONSENT_WITHDRAWN; {
		case withdrawn && !open:
			gaps, open = append(gaps, subjects.Gap{Purpose: purpose, From: at}), true
		case !withdrawn && open:
			gaps[len(gaps)-1].Until, open = at, false
		}
	}
	return gaps, records.Fault(rows.Err())
}
