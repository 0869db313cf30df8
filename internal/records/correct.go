package records

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"clinsource/internal/audit"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	"clinsource/internal/page"
	"clinsource/internal/sqldb"
	"clinsource/internal/subjects"
)

// Correction says which version of which record is corrected, and why.
type Correction struct {
	Project         string // As the request named it, or "".
	Patient, Record string
	Base            int32 // The version that was looked at.
	Reason          string
}

// correcting is any request that corrects a record.
type correcting interface {
	located
	GetBaseVersion() int32
	GetReason() string
}

// located is any request about one record.
type located interface {
	GetProjectId() string
	GetPatientId() string
	GetRecordId() string
}

// CorrectionOf reads a correction off a request and checks its form.
func CorrectionOf(in correcting, check *ident.Checker) Correction {
	checkLocated(in, check)
	if in.GetBaseVersion() < 1 {
		*check = append(*check, fault.Violation{Field: "base_version", Rule: "base_version.required",
			Message: "is required: the version that was looked at, 1 or more"})
	}
	CheckReason(check, in.GetReason())
	return Correction{
		Project: in.GetProjectId(), Patient: in.GetPatientId(), Record: in.GetRecordId(),
		Base: in.GetBaseVersion(), Reason: in.GetReason(),
	}
}

func checkLocated(in located, check *ident.Checker) {
	check.Required("patient_id", in.GetPatientId())
	check.Optional("project_id", in.GetProjectId())
	check.Required("record_id", in.GetRecordId())
}

// Base is the version that a correction is based on, and where the subject
// belongs now.
type Base struct {
	*Record
	Place subjects.Place
	Scope auth.Scope
}

// BaseOf decides whether the call's user may correct the record, and gives the
// version that the correction names.
func (s *Store) BaseOf(ctx context.Context, r subjects.Resolver, c Correction) (Base, error) {
	place, scope, err := subjects.Admit(ctx, r, auth.Amend, s.kind, c.Project, c.Patient)
	if err != nil {
		return Base{}, err
	}
	base, err := scan(s.db.QueryRow(ctx, `SELECT `+columns+` FROM records r
 WHERE r.project_id = $1 AND r.record_id = $2 AND r.version <= $3 ORDER BY r.version DESC LIMIT 1`, place.Project, c.Record, int64(c.Base)))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Base{}, unseenRecord()
	case err != nil:
		return Base{}, Fault(err)
	case base.Patient != c.Patient || !scope.Covers(base.Site, base.Patient):
		return Base{}, unseenRecord()
	case base.Version < c.Base:
		return Base{}, stale(c.Base, base.Version)
	case base.Voided:
		return Base{}, isVoided()
	}
	return Base{Record: base, Place: place, Scope: scope}, nil
}

func unseenRecord() error {
	return fault.NotFound(fault.ReasonRecordNotFound, "there is no such record")
}

func stale(base, newest int32) error {
	f := fault.Aborted(fault.ReasonStale, fmt.Sprintf("base_version is %d and the newest version is %d; read that one, merge, send again", base, newest))
	f.Violations = []fault.Violation{{Field: "base_version", Rule: "base_version.stale", Message: fmt.Sprintf("the newest version is %d", newest)}}
	return f
}

func isVoided() error {
	return fault.Precondition(fault.ReasonVoided, "the record is voided and cannot be corrected; send what is true as a new record")
}

// RefuseSame refuses a correction by which nothing would change.
func RefuseSame(check *ident.Checker, changed []string) {
	if len(changed) == 0 && len(*check) == 0 {
		*check = append(*check, fault.Violation{Field: "content", Rule: "amendment.no_change",
			Message: "would not change: give at least one field with another value than the base version has"})
	}
}

// Amend writes the draft as the version after the one that the correction is
// based on, or finds the version that the same correction became before; created
// says which. Of the draft it takes what an upload of the corrected content would
// have; whose it is and how it is known stays.
func (s *Store) Amend(ctx context.Context, d Draft, base Base, c Correction) (stored *Record, created bool, err error) {
	return s.correct(ctx, d, base, c, "amend")
}

// Void writes a version that says that the record counts no more.
func (s *Store) Void(ctx context.Context, r subjects.Resolver, in correcting) (stored *Record, created bool, err error) {
	var check ident.Checker
	c := CorrectionOf(in, &check)
	if err := check.Err(); err != nil {
		return nil, false, err
	}
	base, err := s.BaseOf(ctx, r, c)
	if err != nil {
		return nil, false, err
	}
	d := Draft{Record: *base.Record}
	d.Voided = true
	return s.correct(ctx, d, base, c, "void")
}

// correction is one correction on its way through its transaction.
type correction struct {
	*Draft
	action string // amend or void.
	reason string
	base   int32
	hash   string           // By which the same correction is known.
	before map[string]int64 // What the base version was counted as.
}

func (s *Store) correct(ctx context.Context, d Draft, base Base, c Correction, action string) (*Record, bool, error) {
	d.ID, d.Project, d.Site, d.Patient, d.ClientRecordID = base.ID, base.Project, base.Site, base.Patient, base.ClientRecordID
	d.Role = base.Scope.Role
	if err := d.complete(ctx); err != nil {
		return nil, false, err
	}
	d.Version, d.Reason = base.Version+1, c.Reason
	work := correction{
		Draft: &d, action: action, reason: c.Reason, base: base.Version,
		hash: HashOf([]byte(action), []byte(d.Hash), []byte(c.Reason)),
	}
	var err error
	if work.before, err = s.tallies(base.Record); err != nil {
		return nil, false, err
	}
	var out outcome // Not to be looked at after an error: the write may still run then.
	var refusal error
	err = s.db.Write(ctx, func(tx *sqldb.Tx) error {
		run, refused, err := s.correctIn(ctx, tx, &work)
		out, refusal = run, refused
		return err
	}, d.keys()...)
	if err != nil {
		return nil, false, Fault(err)
	}
	return out.stored, out.created, refusal
}

func (s *Store) tallies(r *Record) (map[string]int64, error) {
	if s.derived.Tallies == nil {
		return nil, nil
	}
	return s.derived.Tallies(r)
}

// correctIn runs under the site's key: of two corrections of one version, the
// second sees what the first has done.
func (s *Store) correctIn(ctx context.Context, tx *sqldb.Tx, c *correction) (out outcome, refusal, err error) {
	latest, err := newest(ctx, tx, c.Project, c.ID)
	switch {
	case err != nil:
		return outcome{}, nil, err
	case latest.Version != c.base:
		return resent(ctx, tx, c, latest)
	case latest.Voided:
		return outcome{}, isVoided(), nil
	}
	r := c.Record
	if err := s.replace(ctx, tx, c, latest, &r); err != nil {
		return outcome{}, nil, err
	}
	return outcome{stored: &r, created: true}, nil, nil
}

// resent finds the version that the same correction became, if it did.
func resent(ctx context.Context, tx *sqldb.Tx, c *correction, latest *Record) (outcome, error, error) {
	var hash string
	next, err := scan(tx.QueryRow(ctx, `SELECT `+columns+`, r.correction_hash FROM records r
 WHERE r.project_id = $1 AND r.record_id = $2 AND r.version = $3`, c.Project, c.ID, int64(c.base+1)), &hash)
	switch {
	case err != nil:
		return outcome{}, nil, err
	case hash == c.hash:
		return outcome{stored: next}, nil, nil
	case latest.Voided:
		return outcome{}, isVoided(), nil
	}
	return outcome{}, stale(c.base, latest.Version), nil
}

// replace takes the old version out of everything that is derived, and puts the
// new one in.
func (s *Store) replace(ctx context.Context, tx *sqldb.Tx, c *correction, old, r *Record) error {
	if err := hide(ctx, tx, old); err != nil {
		return err
	}
	if err := s.forget(ctx, tx, old, c.before); err != nil {
		return err
	}
	if !r.Voided && c.Prepare != nil {
		if err := c.Prepare(ctx, tx, r); err != nil {
			return err
		}
	}
	digest, err := insertVersion(ctx, tx, r, c.hash)
	if err != nil {
		return err
	}
	if err := s.putInPlace(ctx, tx, c, r); err != nil {
		return err
	}
	return audit.Insert(ctx, tx, r.Received, audit.Event{
		Action: c.action, Kind: s.kind, Role: c.Role, Project: r.Project, Site: r.Site, Patient: r.Patient,
		Record: r.ID, Version: r.Version, Fields: c.Fields, Digest: digest,
	})
}

// putInPlace does for the new version what write does for a new record; of a
// voided one there is nothing to count and nothing to verify.
func (s *Store) putInPlace(ctx context.Context, tx *sqldb.Tx, c *correction, r *Record) error {
	if r.Voided {
		if err := hide(ctx, tx, r); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM unverified_records WHERE project_id = $1 AND record_id = $2`, r.Project, r.ID)
		return err
	}
	if err := count(ctx, tx, r, c.Tallies); err != nil {
		return err
	}
	if err := c.awaitRecheck(ctx, tx, r); err != nil || c.Also == nil {
		return err
	}
	return c.Also(ctx, tx, r)
}

// awaitRecheck has the recheck judge the corrected time, if the record waits for
// one or was corrected on the registry's last known answer.
func (c *correction) awaitRecheck(ctx context.Context, tx *sqldb.Tx, r *Record) error {
	if !c.Unverified {
		_, err := tx.Exec(ctx, `UPDATE unverified_records SET at_us = $3 WHERE project_id = $1 AND record_id = $2`,
			r.Project, r.ID, c.Dated.UnixMicro())
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO unverified_records (project_id, record_id, patient_id, site_id, at_us, failed)
 VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT (project_id, record_id) DO UPDATE SET at_us = excluded.at_us`,
		r.Project, r.ID, r.Patient, r.Site, c.Dated.UnixMicro())
	return err
}

// hide takes a version out of the lists.
func hide(ctx context.Context, tx *sqldb.Tx, r *Record) error {
	_, err := tx.Exec(ctx, `INSERT INTO hidden_versions (project_id, record_id, version, voided) VALUES ($1, $2, $3, $4)`,
		r.Project, r.ID, int64(r.Version), r.voided())
	return err
}

// forget takes a version that lists no longer show out of the counts and of what
// the service derives.
func (s *Store) forget(ctx context.Context, tx *sqldb.Tx, old *Record, tallies map[string]int64) error {
	if err := uncount(ctx, tx, old, tallies); err != nil || s.derived.Forget == nil {
		return err
	}
	return s.derived.Forget(ctx, tx, old)
}

// EachOf gives a subject's records that count, newest first, until f wants no
// more. It is for what Derived.Forget makes anew; where narrows it further, by a
// condition on r with arguments after $2.
func EachOf(ctx context.Context, tx *sqldb.Tx, project, patient, where string, args []any, f func(r *Record) (more bool, err error)) error {
	rows, err := tx.Query(ctx, `SELECT `+columns+` FROM records r WHERE r.project_id = $1 AND r.patient_id = $2 AND `+where+`
 AND `+notHidden+`) ORDER BY r.at_us DESC, r.record_id DESC`, append([]any{project, patient}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return err
		}
		if more, err := f(r); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// listing is a request for the versions of one record.
type listing interface {
	located
	GetPageSize() int32
	GetPageToken() string
}

// Versions gives a page of a record's versions, the first one first. The read is
// audited.
func (s *Store) Versions(ctx context.Context, r subjects.Resolver, in listing) ([]*Record, string, error) {
	var check ident.Checker
	checkLocated(in, &check)
	if err := check.Err(); err != nil {
		return nil, "", err
	}
	p, err := page.Parse(in.GetPageSize(), in.GetPageToken(), string(s.kind)+" versions", in.GetPatientId(), in.GetRecordId())
	if err != nil {
		return nil, "", err
	}
	place, scope, err := subjects.Admit(ctx, r, auth.Read, s.kind, in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, "", err
	}
	return s.versions(ctx, place.Project, scope, in, p)
}

func (s *Store) versions(ctx context.Context, project string, scope auth.Scope, in listing, p page.Request) ([]*Record, string, error) {
	f := NewFilter(project, in.GetRecordId(), in.GetPatientId())
	f.Sites("r.site_id", scope)
	if p.After != nil {
		f.And("r.version > " + f.Arg(p.After.At))
	}
	limit := f.Arg(int64(p.Limit()))
	rows, err := s.db.Query(ctx, `SELECT `+columns+`, COALESCE(u.failed, -1) FROM records r
 LEFT JOIN unverified_records u ON u.project_id = r.project_id AND u.record_id = r.record_id
 WHERE r.project_id = $1 AND r.record_id = $2 AND r.patient_id = $3`+f.Where+`
 ORDER BY r.version LIMIT `+limit, f.Args...)
	if err != nil {
		return nil, "", Fault(err)
	}
	list, cut, err := collect(rows)
	switch {
	case err != nil:
		return nil, "", Fault(err)
	case len(list) == 0 && p.After == nil:
		return nil, "", unseenRecord()
	case cut:
		p.Size = len(list) - 1
	}
	list, next := page.Trim(p, list, func(r *Record) page.Cursor { return page.Cursor{At: int64(r.Version), ID: r.ID} })
	e := audit.Event{Action: "versions", Role: scope.Role, Project: project, Patient: in.GetPatientId(), Record: in.GetRecordId(), Count: len(list)}
	if len(list) > 0 {
		e.Site = list[0].Site
	}
	return list, next, s.readAudited(ctx, e)
}
