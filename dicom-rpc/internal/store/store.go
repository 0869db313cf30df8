// Package store keeps the records of images: those of internal/records, and
// beside them which SOP instances a project has, and the uploads that may be gone
// on with. The images' bytes are not here but in package blob; a record's row is
// what makes its bytes visible, an upload's row says how many of them are synced.
package store

import (
	"context"
	"embed"

	"clinsource/internal/auth"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
)

// Migrations of images; they follow those of internal/records.
//
//go:embed sqlite/*.sql postgres/*.sql
var Migrations embed.FS

// Store keeps the records and the index of instances.
type Store struct{ *records.Store }

// New makes the store on a database with Migrations.
func New(db *sqldb.DB) *Store { return &Store{records.NewStore(db, auth.Images)} }

// ProjectKey is the key of a write that rests on what images and uploads the
// whole project has: HasInstance before AddInstance, WithinQuota before more.
func ProjectKey(project string) string { return sqldb.Key("images", project) }

// HasInstance says whether the project has an image with this SOP Instance UID.
func HasInstance(ctx context.Context, tx *sqldb.Tx, project, sopInstanceUID string) (bool, error) {
	var n int64
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM image_instances WHERE project_id = $1 AND sop_instance_uid = $2`,
		project, sopInstanceUID).Scan(&n)
	return n > 0, err
}

// AddInstance remembers the image's SOP Instance UID. It belongs into the
// transaction that writes the record.
func AddInstance(ctx context.Context, tx *sqldb.Tx, project, sopInstanceUID, record string) error {
	_, err := tx.Exec(ctx, `INSERT INTO image_instances (project_id, sop_instance_uid, record_id) VALUES ($1, $2, $3)`,
		project, sopInstanceUID, record)
	return err
}
