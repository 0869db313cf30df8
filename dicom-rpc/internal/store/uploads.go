package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"clinsource/internal/sqldb"
	dicompb "clinsource/proto/dicom"
)

var (
	// ErrNoUpload says that there is no such upload of this actor, or that it was
	// given up or has expired where an open one is asked for.
	ErrNoUpload = errors.New("store: no such upload")

	// ErrOffset says that an open upload's committed offset is another.
	ErrOffset = errors.New("store: not the committed offset")

	// ErrTakenOver says that a newer stream has the upload, or that it has ended.
	ErrTakenOver = errors.New("store: the upload was taken over")

	// ErrManyOpen says that as many uploads are open as allowed.
	ErrManyOpen = errors.New("store: too many uploads are open")

	// ErrQuota says that the project's quota has no room.
	ErrQuota = errors.New("store: the project's quota is used up")
)

// Upload is an upload that may be gone on with, or how it ended.
type Upload struct {
	ID, Actor, Project, Patient      string
	Size                             int64
	SHA256, FileName, ClientRecordID string
	State                            dicompb.UploadState
	Committed                        int64
	HashState                        string
	Epoch                            int64
	Created, Expires                 time.Time
	Answer, Refusal                  string
}

// Whole says whether all bytes are there.
func (u *Upload) Whole() bool { return u.Committed == u.Size }

// Ended says whether nothing more can come.
func (u *Upload) Ended() bool { return u.State != dicompb.UploadState_OPEN }

const uploadColumns = `upload_id, actor, project_id, patient_id, size, sha256, file_name, client_record_id, state,
 committed, hash_state, epoch, created_us, expires_us, answer, refusal`

type row interface{ Scan(dest ...any) error }

func scanUpload(r row) (*Upload, error) {
	var u Upload
	var state string
	var created, expires int64
	err := r.Scan(&u.ID, &u.Actor, &u.Project, &u.Patient, &u.Size, &u.SHA256, &u.FileName, &u.ClientRecordID, &state,
		&u.Committed, &u.HashState, &u.Epoch, &created, &expires, &u.Answer, &u.Refusal)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNoUpload
	}
	u.State = dicompb.UploadState(dicompb.UploadState_value[state])
	u.Created, u.Expires = time.UnixMicro(created).UTC(), time.UnixMicro(expires).UTC()
	return &u, err
}

// Bounds are what uploads may take together.
type Bounds struct {
	Open  int   // Uploads that are open at once, in all processes together.
	Quota int64 // Bytes of a project: what is stored and what open uploads will be.
}

// AddUpload begins an upload. With resume it gives one of the same actor that
// declares the same content and is complete, or else the open one that has come
// farthest, if there is any.
func (s *Store) AddUpload(ctx context.Context, u *Upload, b Bounds, resume bool) (*Upload, error) {
	var out *Upload
	err := s.DB().Write(ctx, func(tx *sqldb.Tx) error {
		out = u
		if resume {
			same, err := sameUpload(ctx, tx, u)
			if err == nil {
				out = same
				return nil
			}
			if !errors.Is(err, ErrNoUpload) {
				return err
			}
		}
		if u.State == dicompb.UploadState_OPEN {
			if err := roomFor(ctx, tx, u, b); err != nil {
				return err
			}
		}
		return insertUpload(ctx, tx, u)
	}, sqldb.Key("uploads"), ProjectKey(u.Project)) // What all have open, and what the project has.
	return out, err
}

// SameUpload gives the upload that AddUpload would with resume, or ErrNoUpload.
func (s *Store) SameUpload(ctx context.Context, u *Upload) (*Upload, error) {
	return sameUpload(ctx, s.DB(), u)
}

func sameUpload(ctx context.Context, tx Querier, u *Upload) (*Upload, error) {
	return scanUpload(tx.QueryRow(ctx, `SELECT `+uploadColumns+` FROM uploads
 WHERE actor = $1 AND sha256 = $2 AND size = $3 AND project_id = $4 AND patient_id = $5 AND file_name = $6 AND client_record_id = $7
  AND (state = 'COMPLETE' OR state = 'OPEN' AND expires_us > $8)
 ORDER BY state, committed DESC, created_us DESC LIMIT 1`, // COMPLETE before OPEN.
		u.Actor, u.SHA256, u.Size, u.Project, u.Patient, u.FileName, u.ClientRecordID, u.Created.UnixMicro()))
}

func roomFor(ctx context.Context, tx *sqldb.Tx, u *Upload, b Bounds) error {
	var open int64
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM uploads WHERE state = 'OPEN'`).Scan(&open); err != nil {
		return err
	}
	if open >= int64(b.Open) {
		return ErrManyOpen
	}
	if u.Project == "" {
		return nil // Judged when the header has told whose it is.
	}
	return WithinQuota(ctx, tx, u.Project, u.Size, b.Quota, "")
}

// WithinQuota answers ErrQuota if the project's stored bytes, what its open
// uploads will be (but for one) and this many more are over the quota.
func WithinQuota(ctx context.Context, q Querier, project string, more, quota int64, except string) error {
	var stored, open int64
	err := q.QueryRow(ctx, `SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM record_tallies WHERE project_id = $1 AND patient_id = '' AND name = $2`,
		project, TallyBytes).Scan(&stored)
	if err != nil {
		return err
	}
	err = q.QueryRow(ctx, `SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM uploads WHERE state = 'OPEN' AND project_id = $1 AND upload_id <> $2`,
		project, except).Scan(&open)
	if err == nil && (more > quota || stored+open > quota-more) {
		err = ErrQuota
	}
	return err
}

// TallyBytes names the count of the images' bytes.
const TallyBytes = "bytes"

// Querier is the database or a transaction.
type Querier interface {
	QueryRow(ctx context.Context, query string, args ...any) *sqldb.Row
}

func insertUpload(ctx context.Context, tx *sqldb.Tx, u *Upload) error {
	ended := int64(0)
	if u.State != dicompb.UploadState_OPEN {
		ended = u.Created.UnixMicro()
	}
	_, err := tx.Exec(ctx, `INSERT INTO uploads (`+uploadColumns+`, ended_us)
 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		u.ID, u.Actor, u.Project, u.Patient, u.Size, u.SHA256, u.FileName, u.ClientRecordID, u.State.String(),
		u.Committed, u.HashState, u.Epoch, u.Created.UnixMicro(), u.Expires.UnixMicro(), u.Answer, u.Refusal, ended)
	return err
}

// FindUpload gives an actor's upload; one whose time is over counts as expired
// already.
func (s *Store) FindUpload(ctx context.Context, actor, id string, now time.Time) (*Upload, error) {
	u, err := findUpload(ctx, s.DB(), actor, id)
	if err == nil && u.State == dicompb.UploadState_OPEN && !u.Expires.After(now) {
		u.State = dicompb.UploadState_EXPIRED
	}
	return u, err
}

func findUpload(ctx context.Context, q Querier, actor, id string) (*Upload, error) {
	return scanUpload(q.QueryRow(ctx, `SELECT `+uploadColumns+` FROM uploads WHERE upload_id = $1 AND actor = $2`, id, actor))
}

// ClaimUpload makes the caller the newest stream of an open upload whose
// committed offset is at. ErrOffset: it is another, that of the upload given.
// One that is complete or refused is given without a claim.
func (s *Store) ClaimUpload(ctx context.Context, actor, id string, at int64, now time.Time) (*Upload, error) {
	var out *Upload
	var verdict error
	err := s.DB().Write(ctx, func(tx *sqldb.Tx) error {
		out, verdict = nil, nil
		u, err := scanUpload(tx.QueryRow(ctx, `UPDATE uploads SET epoch = epoch + 1
 WHERE upload_id = $1 AND actor = $2 AND committed = $3 AND state = 'OPEN' AND expires_us > $4 RETURNING `+uploadColumns,
			id, actor, at, now.UnixMicro()))
		if !errors.Is(err, ErrNoUpload) {
			out = u
			return err
		}
		out, verdict, err = unclaimed(ctx, tx, actor, id, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, verdict
}

// unclaimed says why an upload could not be claimed.
func unclaimed(ctx context.Context, tx *sqldb.Tx, actor, id string, now time.Time) (u *Upload, verdict, err error) {
	u, err = findUpload(ctx, tx, actor, id)
	switch {
	case errors.Is(err, ErrNoUpload):
		return nil, ErrNoUpload, nil
	case err != nil:
		return nil, nil, err
	case u.State == dicompb.UploadState_COMPLETE, u.State == dicompb.UploadState_REFUSED:
		return u, nil, nil
	case u.State == dicompb.UploadState_OPEN && u.Expires.After(now):
		return u, ErrOffset, nil
	}
	return nil, ErrNoUpload, nil
}

// Advance makes synced bytes of the upload committed; the caller must be its
// newest stream, or ErrTakenOver.
func (s *Store) Advance(ctx context.Context, u *Upload, to int64, hashState string, expires time.Time) error {
	return s.DB().Write(ctx, func(tx *sqldb.Tx) error {
		return changeOne(ctx, tx, `UPDATE uploads SET committed = $1, hash_state = $2, expires_us = $3
 WHERE upload_id = $4 AND epoch = $5 AND committed = $6 AND state = 'OPEN'`,
			to, hashState, expires.UnixMicro(), u.ID, u.Epoch, u.Committed)
	})
}

// CompleteUpload ends an upload in the transaction of its image.
func CompleteUpload(ctx context.Context, tx *sqldb.Tx, u *Upload, answer string, now time.Time) error {
	return changeOne(ctx, tx, `UPDATE uploads SET state = 'COMPLETE', answer = $1, hash_state = '', ended_us = $2
 WHERE upload_id = $3 AND epoch = $4 AND state = 'OPEN'`, answer, now.UnixMicro(), u.ID, u.Epoch)
}

// Complete is CompleteUpload where the image was there already.
func (s *Store) Complete(ctx context.Context, u *Upload, answer string, now time.Time) error {
	return s.DB().Write(ctx, func(tx *sqldb.Tx) error { return CompleteUpload(ctx, tx, u, answer, now) })
}

// Refuse ends an upload whose file was judged and refused.
func (s *Store) Refuse(ctx context.Context, u *Upload, refusal string, now time.Time) error {
	return s.DB().Write(ctx, func(tx *sqldb.Tx) error {
		return changeOne(ctx, tx, `UPDATE uploads SET state = 'REFUSED', refusal = $1, hash_state = '', ended_us = $2
 WHERE upload_id = $3 AND epoch = $4 AND state = 'OPEN'`, refusal, now.UnixMicro(), u.ID, u.Epoch)
	})
}

func changeOne(ctx context.Context, tx *sqldb.Tx, query string, args ...any) error {
	result, err := tx.Exec(ctx, query, args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return ErrTakenOver
}
