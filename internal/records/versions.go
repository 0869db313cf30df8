package records

import (
	"context"
	"iter"
	"time"

	"clinsource/internal/auditlog"
)

const versionsPage = 500

// Stored gives every stored version with the digest of it as it lies there, to be
// held against what the audit log says was written.
func (s *Store) Stored(ctx context.Context) iter.Seq2[auditlog.Version, error] {
	return func(yield func(auditlog.Version, error) bool) {
		for after := (auditlog.Version{}); ; {
			page, err := s.storedAfter(ctx, after)
			for _, v := range page {
				if !yield(v, nil) {
					return
				}
			}
			if err != nil {
				yield(auditlog.Version{}, err)
				return
			}
			if len(page) < versionsPage {
				return
			}
			after = page[len(page)-1]
		}
	}
}

func (s *Store) storedAfter(ctx context.Context, after auditlog.Version) (page []auditlog.Version, err error) {
	rows, err := s.db.Query(ctx, `SELECT r.project_id, r.record_id, r.version, r.site_id, r.patient_id, r.client_record_id, r.at_us, r.received_us, r.content, r.findings,
 r.actor, r.reason, r.voided, r.correction_hash FROM records r WHERE (project_id, record_id, version) > ($1, $2, $3) ORDER BY project_id, record_id, version LIMIT $4`,
		after.Project, after.Record, after.Version, int64(versionsPage))
	if err != nil {
		return nil, Fault(err)
	}
	defer rows.Close()
	for rows.Next() {
		var r Record
		var at, received, voided int64
		var content, findings, correctionHash string
		if err := rows.Scan(&r.Project, &r.ID, &r.Version, &r.Site, &r.Patient, &r.ClientRecordID, &at, &received, &content, &findings,
			&r.Actor, &r.Reason, &voided, &correctionHash); err != nil {
			return page, err
		}
		r.Voided = voided == 1
		r.At, r.Received, r.Content = time.UnixMicro(at), time.UnixMicro(received), []byte(content)
		page = append(page, auditlog.Version{Kind: string(s.kind), Project: r.Project, Record: r.ID, Version: int64(r.Version), Digest: r.digest(findings, correctionHash)})
	}
	return page, rows.Err()
}
