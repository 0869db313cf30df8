package records

import (
	"context"
	"database/sql"
	"errors"

	"clinsource/internal/audit"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/page"
	"clinsource/internal/sqldb"
	recordpb "clinsource/proto/record"
)

// notHidden leaves to a SELECT from records r the newest version of each record
// that is not voided.
const notHidden = `NOT EXISTS (SELECT 1 FROM hidden_versions h
  WHERE h.project_id = r.project_id AND h.record_id = r.record_id AND h.version = r.version`

// Wanted is which records a list is asked for.
type Wanted struct {
	Patient string // One subject's, or "" for all.
	Voided  bool   // Voided ones too.
}

// List gives a page of the records in the scope, newest first, and the token of
// the next page: the newest version of each. The read is audited.
func (s *Store) List(ctx context.Context, scope auth.Scope, want Wanted, p page.Request) ([]*Record, string, error) {
	patient, err := narrow(scope, want.Patient)
	if err != nil {
		return nil, "", err
	}
	f := NewFilter(scope.Project)
	if patient != "" {
		f.And("r.patient_id = " + f.Arg(patient))
	}
	f.Sites("r.site_id", scope)
	if want.Voided {
		f.And(notHidden + " AND h.voided = 0)")
	} else {
		f.And(notHidden + ")")
	}
	if p.After != nil {
		f.And("(r.at_us, r.record_id) < (" + f.Arg(p.After.At) + ", " + f.Arg(p.After.ID) + ")")
	}
	limit := f.Arg(int64(p.Limit()))
	rows, err := s.db.Query(ctx, `SELECT `+columns+`, COALESCE(u.failed, -1) FROM records r
 LEFT JOIN unverified_records u ON u.project_id = r.project_id AND u.record_id = r.record_id
 WHERE r.project_id = $1`+f.Where+`
 ORDER BY r.at_us DESC, r.record_id DESC LIMIT `+limit, f.Args...)
	if err != nil {
		return nil, "", Fault(err)
	}
	list, cut, err := collect(rows)
	if err != nil {
		return nil, "", Fault(err)
	}
	if cut {
		p.Size = len(list) - 1
	}
	list, next := page.Trim(p, list, func(r *Record) page.Cursor { return page.Cursor{At: r.At.UnixMicro(), ID: r.ID} })
	return list, next, s.audited(ctx, "list", scope, patient, len(list))
}

// maxPageBytes bounds the stored text of a page, so that a page of large records
// is a shorter page rather than an answer larger than a client takes (gRPC's
// default is 4 MiB).
const maxPageBytes = 2 << 20

// collect reads rows to their end, or to the row with which they exceed
// maxPageBytes: then that row is one too many.
func collect(rows *sqldb.Rows) (list []*Record, cut bool, err error) {
	defer rows.Close()
	size := 0
	for rows.Next() {
		var failed int64
		r, err := scan(rows, &failed)
		if err != nil {
			return nil, false, err
		}
		r.mark(failed)
		list = append(list, r)
		if size += len(r.Content); size > maxPageBytes && len(list) > 1 {
			return list, true, nil
		}
	}
	return list, false, rows.Err()
}

// mark adds the finding of a record that waits for the registry: failed is -1
// for none, 0 while it waits, 1 when the recheck failed.
func (r *Record) mark(failed int64) {
	switch failed {
	case 0:
		r.Findings = append(r.Findings, &recordpb.Finding{RuleId: "subject.unverified", Severity: recordpb.Severity_NOTE,
			Fields: []string{"patient_id"}, Message: "taken on the registry's last known answer, while it was away; it is rechecked"})
	case 1:
		r.Findings = append(r.Findings, &recordpb.Finding{RuleId: "subject.recheck_failed", Severity: recordpb.Severity_QUERY,
			Fields: []string{"patient_id"}, Message: "taken while the registry was away, and it would have refused the record"})
	}
}

// Each gives stored records in the terms of a contract, in their order.
func Each[T any](list []*Record, out func(*Record) (T, error)) ([]T, error) {
	var all []T
	for _, r := range list {
		one, err := out(r)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// Find gives one record by its id alone, in whichever project it lies, for
// contracts that name nothing else; the caller decides who may see it, and then
// audits the read with ReadOne.
func (s *Store) Find(ctx context.Context, id string) (*Record, error) {
	r, err := scan(s.db.QueryRow(ctx, `SELECT `+columns+` FROM records r WHERE r.record_id = $1 ORDER BY r.version DESC LIMIT 1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.NotFound(fault.ReasonRecordNotFound, "there is no such record")
	}
	return r, Fault(err)
}

// ReadOne audits the read of one record.
func (s *Store) ReadOne(ctx context.Context, role auth.Role, r *Record) error {
	return s.readAudited(ctx, audit.Event{
		Action: "read", Role: role, Project: r.Project, Site: r.Site, Patient: r.Patient,
		Record: r.ID, Version: r.Version, Count: 1,
	})
}
