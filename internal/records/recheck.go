package records

import (
	"context"
	"errors"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc/codes"

	"clinsource/internal/audit"
	"clinsource/internal/auth"
	"clinsource/internal/clock"
	"clinsource/internal/fault"
	"clinsource/internal/sqldb"
	"clinsource/internal/subjects"
)

// How often records taken on a stale answer are rechecked, how many at a time,
// and how long one round may take.
const (
	recheckEvery  = 5 * time.Second
	recheckAtOnce = 100
	recheckWithin = 4 * time.Second
)

// recheckActor is who the audit rows of a recheck name: no person, no device.
const recheckActor = "system:recheck"

type unverified struct {
	project, id, patient, site string
	at                         time.Time
}

// Recheck asks the registry anew about the records that were taken on its last
// known answer, until ctx ends. What it confirms comes off the list; what it
// would have refused is marked, never removed: that is for people to decide.
func (s *Store) Recheck(ctx context.Context, r subjects.Resolver) {
	tick := time.NewTicker(recheckEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			round, cancel := context.WithTimeout(ctx, recheckWithin)
			if err := s.RecheckOnce(round, r); err != nil {
				logx.Errorf("recheck of %s: %v", s.kind, err)
			}
			cancel()
		}
	}
}

// RecheckOnce does one round of Recheck. It stops quietly when the registry is
// still away.
func (s *Store) RecheckOnce(ctx context.Context, r subjects.Resolver) error {
	waiting, err := s.unverified(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, u := range waiting {
		place, err := r.Resolve(ctx, u.patient)
		switch f := fault.From(err); {
		case err == nil && place.Stale:
			return nil
		case err != nil && (f.Code == codes.Unavailable || f.Code == codes.DeadlineExceeded):
			return nil
		case err != nil && f.Code != codes.NotFound: // This one it cannot answer; the others need not wait for that.
			errs = append(errs, err)
			continue
		}
		right := err == nil && place.Project == u.project && place.Site == u.site && place.Refuse(s.kind, u.at, "") == nil
		if err := s.settle(ctx, u, right); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	return errors.Join(errs...)
}

func (s *Store) unverified(ctx context.Context) ([]unverified, error) {
	rows, err := s.db.Query(ctx, `SELECT project_id, record_id, patient_id, site_id, at_us FROM unverified_records
 WHERE failed = 0 ORDER BY record_id LIMIT $1`, int64(recheckAtOnce))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []unverified
	for rows.Next() {
		var u unverified
		var at int64
		if err := rows.Scan(&u.project, &u.id, &u.patient, &u.site, &at); err != nil {
			return nil, err
		}
		u.at = time.UnixMicro(at)
		list = append(list, u)
	}
	return list, rows.Err()
}

func (s *Store) settle(ctx context.Context, u unverified, right bool) error {
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		action, statement := "verify", `DELETE FROM unverified_records WHERE project_id = $1 AND record_id = $2 AND at_us = $3 AND failed = 0`
		if !right {
			action, statement = "verify-failed", `UPDATE unverified_records SET failed = 1 WHERE project_id = $1 AND record_id = $2 AND at_us = $3 AND failed = 0`
		}
		done, err := tx.Exec(ctx, statement, u.project, u.id, u.at.UnixMicro())
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err // Another replica was faster, and has said so in the audit; or a correction changed the time.
		}
		return audit.Insert(ctx, tx, clock.Now(), audit.Event{
			Action: action, Kind: s.kind, Project: u.project, Site: u.site, Patient: u.patient, Record: u.id, Version: 1,
		})
	})
}

// KeepRechecking runs Recheck in the background until the function that it
// returns is called, which waits for its end.
func (s *Store) KeepRechecking(r subjects.Resolver) (stop func() error) {
	ctx, cancel := context.WithCancel(auth.WithUser(context.Background(), &auth.User{Subject: recheckActor}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Recheck(ctx, r)
	}()
	return func() error {
		cancel()
		<-done
		return nil
	}
}
