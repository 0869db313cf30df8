package sqldb

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Inspection is what a look at a database file from outside tells.
type Inspection struct {
	Schema   int64  // The version of the newest migration.
	Bytes    int64  // Of the file.
	Problems string // What SQLite's quick_check found; empty: nothing.
}

// Inspect looks at the SQLite file at path, beside the service that may have it
// open, and writes nothing: not even the files beside it that a reader of a
// database at rest would leave behind, with an owner that the service is not.
func Inspect(ctx context.Context, path string) (i Inspection, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return i, err
	}
	i.Bytes = info.Size()
	mode := "mode=ro&_pragma=busy_timeout(5000)"
	if _, err := os.Stat(path + "-wal"); errors.Is(err, os.ErrNotExist) {
		mode += "&immutable=1" // Whoever writes has a log.
	}
	pool, err := openPool(path, mode)
	if err != nil {
		return i, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	pool.SetMaxOpenConns(1)
	var verdict string
	if err := pool.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return i, fmt.Errorf("quick_check: %w", err)
	}
	if verdict != "ok" {
		i.Problems = verdict
	}
	err = pool.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied = 1`).Scan(&i.Schema)
	return i, err
}
