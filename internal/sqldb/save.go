package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Snapshot is all schemas of a PostgreSQL database as they are at one moment,
// while everybody goes on writing.
type Snapshot struct {
	conn *pgx.Conn
	tx   pgx.Tx
}

// TakeSnapshot begins one, as a role that may read all schemas. It is one
// transaction: PostgreSQL keeps what it sees until Close.
func TakeSnapshot(ctx context.Context, reader Postgres) (*Snapshot, error) {
	c, err := reader.config()
	if err != nil {
		return nil, err
	}
	for _, bound := range []string{"statement_timeout", "idle_in_transaction_session_timeout"} {
		c.RuntimeParams[bound] = "0"
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, connectFault(ctx, err)
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return &Snapshot{conn: conn, tx: tx}, nil
}

// Close lets PostgreSQL forget what the snapshot saw.
func (s *Snapshot) Close(ctx context.Context) error {
	return errors.Join(s.tx.Rollback(ctx), s.conn.Close(ctx))
}

// Save makes a SQLite file of a schema, which it must not find: what Move takes
// back, and what a service of this version can run on. It reads everything back
// and compares counts and hashes.
func (s *Snapshot) Save(ctx context.Context, schema, file string, migrations fs.FS) (err error) {
	if _, err := s.tx.Exec(ctx, `SET LOCAL search_path TO `+pgx.Identifier{schema}.Sanitize()); err != nil {
		return err
	}
	if err := s.sameVersion(ctx, migrations); err != nil {
		return err
	}
	empty, err := Open(ctx, Config{Path: file}, migrations)
	if err != nil {
		return err
	}
	if err := empty.Close(); err != nil {
		return err
	}
	// A file that a crash leaves half written is of no use, so nothing is synced.
	target, err := openPool(file, "_pragma=synchronous(OFF)&_pragma=cache_size(-65536)")
	if err != nil {
		return err
	}
	target.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, target.Close()) }()
	tables, err := tablesOf(ctx, target, s.tx)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := t.save(ctx, s.tx, target); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return nil
}

func (s *Snapshot) sameVersion(ctx context.Context, migrations fs.FS) error {
	var version int64
	if err := s.tx.QueryRow(ctx, `SELECT MAX(version_id) FROM goose_db_version WHERE is_applied`).Scan(&version); err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	known, err := newestVersion(migrations)
	if err == nil && version != known {
		err = fmt.Errorf("the schema has version %d and this binary knows %d; use the clinctl of the version that migrated last", version, known)
	}
	return err
}

// save copies the rows into the file and compares what arrived.
func (t table) save(ctx context.Context, from pgx.Tx, to *sql.DB) error {
	sum, err := t.insertAll(ctx, from, to)
	if err != nil {
		return err
	}
	back := newRowHash()
	if err := t.read(ctx, to, back.add); err != nil {
		return err
	}
	if sum.rows != back.rows || sum.String() != back.String() {
		return fmt.Errorf("%w: the database has %d rows, the file %d", ErrDiffers, sum.rows, back.rows)
	}
	return nil
}

// insert is the statement for one row; its names are from the databases' own
// catalogues.
func (t table) insert() string {
	numbers := make([]string, len(t.columns))
	for i := range numbers {
		numbers[i] = fmt.Sprintf("$%d", i+1)
	}
	return `INSERT INTO ` + t.quoted() + ` (` + strings.Join(t.columns, ", ") + `) VALUES (` + strings.Join(numbers, ", ") + `)`
}

func (t table) insertAll(ctx context.Context, from pgx.Tx, to *sql.DB) (*rowHash, error) {
	begun, err := to.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = begun.Rollback() }() // Of no effect once it is committed.
	insert, err := begun.PrepareContext(ctx, t.insert())
	if err != nil {
		return nil, err
	}
	defer insert.Close()
	rows, err := from.Query(ctx, t.selectAll())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	sum := newRowHash()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return nil, err
		}
		if err := sum.add(values); err != nil {
			return nil, err
		}
		if _, err := insert.ExecContext(ctx, values...); err != nil {
			return nil, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return sum, begun.Commit()
}
