package store

import (
	"context"
	"errors"
	"time"

	"clinsource/dicom-rpc/internal/blob"
	"clinsource/internal/audit"
	"clinsource/internal/auth"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	dicompb "clinsource/proto/dicom"
)

// AbortUpload gives an open upload up, audited, and takes it from its stream; one
// that has ended stays as it is. It gives the upload as it is then.
func (s *Store) AbortUpload(ctx context.Context, actor, id string, role auth.Role, now time.Time) (*Upload, error) {
	var out *Upload
	err := s.DB().Write(ctx, func(tx *sqldb.Tx) error {
		u, err := scanUpload(tx.QueryRow(ctx, `UPDATE uploads SET state = 'ABORTED', epoch = epoch + 1, hash_state = '', ended_us = $1
 WHERE upload_id = $2 AND actor = $3 AND state = 'OPEN' RETURNING `+uploadColumns, now.UnixMicro(), id, actor))
		if errors.Is(err, ErrNoUpload) {
			out, err = findUpload(ctx, tx, actor, id)
			return err
		}
		if err != nil {
			return err
		}
		out = u
		return audit.Insert(ctx, tx, now, audit.Event{
			Action: "abort", Kind: auth.Images, Role: role, Project: u.Project, Patient: u.Patient, Record: u.ID,
		})
	})
	return out, err
}

// ExpireUploads ends the open uploads whose time is over and gives their ids.
func (s *Store) ExpireUploads(ctx context.Context, now time.Time) ([]string, error) {
	var ids []string
	err := s.DB().Write(ctx, func(tx *sqldb.Tx) error {
		ids = nil
		rows, err := tx.Query(ctx, `UPDATE uploads SET state = 'EXPIRED', epoch = epoch + 1, hash_state = '', ended_us = $1
 WHERE state = 'OPEN' AND expires_us <= $1 RETURNING upload_id`, now.UnixMicro())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	})
	return ids, err
}

// PurgeUploads forgets the uploads that ended before a time; their images stay.
func (s *Store) PurgeUploads(ctx context.Context, before time.Time) error {
	return s.DB().Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM uploads WHERE state <> 'OPEN' AND ended_us < $1`, before.UnixMicro())
		return err
	})
}

// OpenEpochs gives the epoch of every open upload.
func (s *Store) OpenEpochs(ctx context.Context) (map[string]int64, error) {
	rows, err := s.DB().Query(ctx, `SELECT upload_id, epoch FROM uploads WHERE state = 'OPEN'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	epochs := map[string]int64{}
	for rows.Next() {
		var id string
		var epoch int64
		if err := rows.Scan(&id, &epoch); err != nil {
			return nil, err
		}
		epochs[id] = epoch
	}
	return epochs, rows.Err()
}

// OpenUploads tells how many uploads are open, and how many bytes they are still
// to bring: room on the disk that is promised.
func (s *Store) OpenUploads(ctx context.Context) (uploads, missing int64, err error) {
	err = s.DB().QueryRow(ctx, `SELECT COUNT(*), CAST(COALESCE(SUM(size - committed), 0) AS BIGINT) FROM uploads WHERE state = 'OPEN'`).Scan(&uploads, &missing)
	return uploads, missing, err
}

// Fate says what the rows know of a file under incoming. It asks as a write under
// the record's own key, so that it also knows the outcome of every write of it
// that was begun before, of those too whose caller has given up waiting, or whose
// process was killed while its COMMIT was on its way.
func (s *Store) Fate(ctx context.Context, id string) (blob.Fate, error) {
	var fate blob.Fate
	err := s.DB().Write(ctx, func(tx *sqldb.Tx) error {
		var images int64
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM records WHERE record_id = $1`, id).Scan(&images); err != nil {
			return err
		}
		if images > 0 {
			fate = blob.Visible
			return nil
		}
		u, err := scanUpload(tx.QueryRow(ctx, `SELECT `+uploadColumns+` FROM uploads WHERE upload_id = $1`, id))
		switch {
		case errors.Is(err, ErrNoUpload):
			fate, err = blob.Unknown, nil
		case err == nil && u.State == dicompb.UploadState_OPEN:
			fate = blob.Pending
		case err == nil:
			fate = blob.Ended
		}
		return err
	}, records.RecordKey(id))
	return fate, err
}
