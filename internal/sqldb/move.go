package sqldb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Moved is one table that lies in both databases with the same rows.
type Moved struct {
	Sum
	There bool // It was in the target before; only compared.
}

// ErrDiffers says that source and target do not hold the same rows; nothing of
// the schema was kept in the target.
var ErrDiffers = errors.New("sqldb: source and target differ")

// Move copies a SQLite file into a schema that Migrate has made, in one
// transaction: all of it or nothing. It reads everything back and compares counts
// and hashes before it commits. A target that holds the very same rows already is
// compared and left, so that a move of several schemas can be run again; one that
// holds others is refused. Nobody may write to the file meanwhile; services cannot
// write to the target.
func Move(ctx context.Context, file string, m Migration) (tables []Moved, err error) {
	if _, err := os.Stat(file); err != nil {
		return nil, err
	}
	source, err := openReadPool(file, 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := sameVersion(ctx, source, m); err != nil {
		return nil, err
	}
	c, err := m.Owner.config()
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
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		tables, err = move(ctx, source, tx)
		return err
	})
	return tables, err
}

func sameVersion(ctx context.Context, source *sql.DB, m Migration) error {
	var version int64
	if err := source.QueryRowContext(ctx, `SELECT MAX(version_id) FROM goose_db_version WHERE is_applied`).Scan(&version); err != nil {
		return fmt.Errorf("read the file's schema version: %w", err)
	}
	known, err := newestVersion(m.Migrations)
	if err == nil && version != known {
		err = fmt.Errorf("the file's schema has version %d and this binary knows %d; run the services of this version on it once", version, known)
	}
	return err
}

func move(ctx context.Context, source *sql.DB, tx pgx.Tx) ([]Moved, error) {
	tables, err := tablesOf(ctx, source, tx)
	if err != nil {
		return nil, err
	}
	if err := partitionsFor(ctx, source, tx, tables); err != nil {
		return nil, err
	}
	var all []Moved
	for _, t := range tables {
		if _, err := tx.Exec(ctx, `LOCK TABLE `+t.quoted()+` IN EXCLUSIVE MODE`); err != nil {
			return nil, err
		}
		done, err := t.move(ctx, source, tx)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.name, err)
		}
		all = append(all, done)
	}
	return all, nil
}

// table is one table with its columns, and those of its primary key.
type table struct {
	name         string
	columns, key []string
	identity     string // column whose numbers the database makes
}

func (t table) quoted() string { return pgx.Identifier{t.name}.Sanitize() }

func (t table) selectAll() string {
	return `SELECT ` + strings.Join(t.columns, ", ") + ` FROM ` + t.quoted() + ` ORDER BY ` + strings.Join(t.key, ", ")
}

// tablesOf lists the tables of both databases, which must be the same, with
// columns and keys in the file's order.
func tablesOf(ctx context.Context, source *sql.DB, tx pgx.Tx) ([]table, error) {
	rows, err := tx.Query(ctx, `SELECT c.relname,
 (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
 COALESCE((SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attidentity <> ''), '')
 FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname <> 'goose_db_version' ORDER BY c.relname COLLATE "C"`)
	if err != nil {
		return nil, err
	}
	target, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (t table, err error) {
		err = r.Scan(&t.name, &t.columns, &t.identity)
		return t, err
	})
	if err != nil {
		return nil, err
	}
	tables, err := sqliteTables(ctx, source)
	if err != nil {
		return nil, err
	}
	if !slices.EqualFunc(tables, target, func(a, b table) bool { return a.String() == b.String() }) {
		return nil, fmt.Errorf("the two schemas are not the same: the file has %v and the target %v", tables, target)
	}
	for i := range tables {
		tables[i].identity = target[i].identity
	}
	return tables, nil
}

// String names the table and its columns, whose order may differ between engines.
func (t table) String() string {
	return t.name + " (" + strings.Join(slices.Sorted(slices.Values(t.columns)), ", ") + ")"
}

// partitionsFor makes the partitions of the months that the records are of.
func partitionsFor(ctx context.Context, source *sql.DB, tx pgx.Tx, tables []table) error {
	if !slices.ContainsFunc(tables, func(t table) bool { return t.name == "records" }) {
		return nil
	}
	var first sql.NullInt64
	if err := source.QueryRowContext(ctx, `SELECT MIN(received_us) FROM records`).Scan(&first); err != nil || !first.Valid {
		return err
	}
	_, err := tx.Exec(ctx, `SELECT make_partitions($1::timestamptz, now())`, time.UnixMicro(first.Int64))
	return err
}

func (t table) move(ctx context.Context, source *sql.DB, tx pgx.Tx) (Moved, error) {
	done := Moved{Sum: Sum{Table: t.name}}
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM `+t.quoted()+`)`).Scan(&done.There); err != nil {
		return done, err
	}
	sum := newRowHash()
	if done.There {
		if err := t.read(ctx, source, sum.add); err != nil {
			return done, err
		}
	} else if err := t.copy(ctx, source, tx, sum); err != nil {
		return done, err
	}
	back, err := t.readBack(ctx, tx)
	if err != nil {
		return done, err
	}
	done.Rows, done.Hash = sum.rows, sum.String()
	if sum.rows != back.rows || done.Hash != back.String() {
		return done, fmt.Errorf("%w: the file has %d rows with hash %.12s, the target %d with %.12s", ErrDiffers, sum.rows, done.Hash, back.rows, back.String())
	}
	return done, nil
}

// read gives the file's rows in the order of the primary key.
func (t table) read(ctx context.Context, source *sql.DB, each func([]any) error) error {
	rows, err := source.QueryContext(ctx, t.selectAll())
	if err != nil {
		return err
	}
	defer rows.Close()
	values, into := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := each(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

// batchRows bounds what is held in memory.
const batchRows = 2000

// copy sends the rows by COPY, in batches, hashing what it read.
func (t table) copy(ctx context.Context, source *sql.DB, tx pgx.Tx, sum *rowHash) error {
	var batch [][]any
	send := func() error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromRows(batch))
		batch = batch[:0]
		return err
	}
	err := t.read(ctx, source, func(row []any) error {
		batch = append(batch, slices.Clone(row))
		if err := sum.add(row); err != nil || len(batch) < batchRows {
			return err
		}
		return send()
	})
	if err == nil && len(batch) > 0 {
		err = send()
	}
	if err == nil && t.identity != "" { // The next number follows those that were copied.
		_, err = tx.Exec(ctx, `SELECT setval(pg_get_serial_sequence($1, $2), COALESCE((SELECT MAX(`+t.identity+`) FROM `+t.quoted()+`), 0) + 1, false)`,
			t.quoted(), t.identity)
	}
	return err
}

func (t table) readBack(ctx context.Context, tx pgx.Tx) (*rowHash, error) {
	sum := newRowHash()
	rows, err := tx.Query(ctx, t.selectAll())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return nil, err
		}
		if err := sum.add(values); err != nil {
			return nil, err
		}
	}
	return sum, rows.Err()
}

// rowHash hashes rows of texts and whole numbers, the only values that there are.
type rowHash struct {
	hash.Hash
	rows int64
}

func newRowHash() *rowHash { return &rowHash{Hash: sha256.New()} }

func (h *rowHash) add(row []any) error {
	h.rows++
	for _, value := range row {
		switch v := value.(type) {
		case int64:
			h.Write(binary.BigEndian.AppendUint64([]byte{'n'}, uint64(v)))
		case string:
			h.Write(binary.BigEndian.AppendUint64([]byte{'t'}, uint64(len(v))))
			h.Write([]byte(v))
		default:
			return fmt.Errorf("row %d holds a %T; texts and whole numbers are all that is stored", h.rows, value)
		}
	}
	return nil
}

func (h *rowHash) String() string { return hex.EncodeToString(h.Sum(nil)) }
