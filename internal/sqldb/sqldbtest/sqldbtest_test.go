package sqldbtest

import (
	"context"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"clinsource/internal/sqldb"
)

func TestEachOpensEmptyDatabases(t *testing.T) {
	defer goleak.VerifyNone(t)
	migrations := fstest.MapFS{"sqlite/00001_t.sql": {Data: []byte("-- +goose Up\nCREATE TABLE t (id TEXT PRIMARY KEY);\n")},
		"postgres/00001_t.sql": {Data: []byte("-- +goose Up\nCREATE TABLE t (id TEXT PRIMARY KEY);\nGRANT INSERT ON t TO {{role}};\n")}}
	ran := 0
	Each(t, func(t *testing.T, open func(fs.FS) *sqldb.DB) {
		ran++
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 2 { // the second must not see the first's row
			err := open(migrations).Write(ctx, func(tx *sqldb.Tx) error {
				_, err := tx.Exec(ctx, `INSERT INTO t (id) VALUES ($1)`, "same")
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	if ran != len(engines) {
		t.Errorf("the suite ran on %d engines of %d", ran, len(engines))
	}
}
