package sqldb

import (
	"context"
	"database/sql"
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

// Copy makes a new file of a SQLite database as it is at one moment, while its
// service goes on writing.
func Copy(ctx context.Context, from, to string) error {
	pool, err := openPool(from, "mode=rw&_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	_, err = pool.ExecContext(ctx, `VACUUM INTO $1`, to)
	return errors.Join(err, pool.Close())
}

// OpenFile opens a SQLite file that no service has open, for a tool to read.
func OpenFile(path string) (*sql.DB, error) {
	pool, err := openPool(path, "mode=rw&_pragma=query_only(ON)")
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1)
	return pool, nil
}

// Sum is what a table's rows come to, the same for the same rows in either engine.
type Sum struct {
	Table string
	Rows  int64
	Hash  string // SHA-256 of all rows in the order of the primary key, 64 hex digits.
}

// Sums checks a SQLite file that no service has open, and sums its tables. The
// versions of the schema are left out: they carry the time of the migration.
func Sums(ctx context.Context, path string) (sums []Sum, err error) {
	pool, err := OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	var verdict string
	if err := pool.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&verdict); err != nil {
		return nil, err
	}
	if verdict != "ok" {
		return nil, fmt.Errorf("integrity check: %s", verdict)
	}
	tables, err := sqliteTables(ctx, pool)
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		sum := newRowHash()
		if err := t.read(ctx, pool, sum.add); err != nil {
			return nil, fmt.Errorf("table %s: %w", t.name, err)
		}
		sums = append(sums, Sum{Table: t.name, Rows: sum.rows, Hash: sum.String()})
	}
	return sums, nil
}

// sqliteTables lists the tables of a file.
func sqliteTables(ctx context.Context, source *sql.DB) (tables []table, err error) {
	rows, err := source.QueryContext(ctx, `SELECT m.name, c.name, c.pk FROM sqlite_master m JOIN pragma_table_info(m.name) c
 WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'goose_db_version' ORDER BY m.name, c.pk, c.cid`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name, column string
		var key int64 // The column's place in the primary key, from 1; 0: it is not in it.
		if err := rows.Scan(&name, &column, &key); err != nil {
			return nil, err
		}
		if n := len(tables); n == 0 || tables[n-1].name != name {
			tables = append(tables, table{name: name})
		}
		t := &tables[len(tables)-1]
		t.columns = append(t.columns, column)
		if key > 0 {
			t.key = append(t.key, column)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for _, t := range tables {
		if len(t.key) == 0 {
			return nil, fmt.Errorf("table %s has no primary key to compare it by", t.name)
		}
	}
	return tables, nil
}
