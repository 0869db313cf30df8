package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestStatementsNeedADeadline(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	none := context.Background()
	wantError(t, "Write", db.Write(none, func(*Tx) error { return nil }), ErrNoDeadline)
	_, err := db.Query(none, `SELECT 1`)
	wantError(t, "Query", err, ErrNoDeadline)
	wantError(t, "QueryRow", db.QueryRow(none, `SELECT 1`).Scan(new(int)), ErrNoDeadline)
	for _, f := range []func(*Tx) error{
		addNote(none, "a"),
		func(tx *Tx) error { return tx.QueryRow(none, `SELECT 1`).Scan(new(int)) },
	} {
		wantError(t, "within Write", db.Write(within(t, time.Minute), f), ErrNoDeadline)
	}
}

func TestArgumentsBindByNumber(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	ctx := within(t, time.Minute)
	const query = `SELECT $2 || $1 || $2`
	var read, written string
	if err := db.QueryRow(ctx, query, "a", "b").Scan(&read); err != nil {
		t.Fatal(err)
	}
	err := db.Write(ctx, func(tx *Tx) error { return tx.QueryRow(ctx, query, "a", "b").Scan(&written) })
	if err != nil || read != "bab" || written != "bab" {
		t.Errorf("read %q, written %q (%v), want bab", read, written, err)
	}
}

func TestArgumentsThatEnginesStoreDifferently(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	ctx := within(t, time.Minute)
	for want, arg := range map[string]any{"UnixMicro": time.Now(), "0 or 1": true} {
		err := db.QueryRow(ctx, `SELECT $1, $2`, 1, arg).Scan(new(int), new(int))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "$2") {
			t.Errorf("argument %T: %v, want an error that names $2 and %s", arg, err, want)
		}
	}
}

func TestTxRefusesWhatPostgreSQLWould(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	ctx := within(t, time.Minute)
	err := db.Write(ctx, func(tx *Tx) error {
		rows, err := tx.Query(ctx, `SELECT 1`)
		if err != nil {
			return err
		}
		defer rows.Close()
		return addNote(ctx, "a")(tx)
	})
	wantError(t, "statement beside open rows", err, errRowsOpen)

	err = db.Write(ctx, func(tx *Tx) error {
		if err := addNote(ctx, "a")(tx); err != nil {
			return err
		}
		first := addNote(ctx, "a")(tx)
		if second := addNote(ctx, "b")(tx); !errors.Is(second, first) {
			t.Errorf("a statement after a failed one gave %v, want its error %v", second, first)
		}
		return nil
	})
	if !IsUnique(err) {
		t.Errorf("a write whose statement failed answered %v", err)
	}

	var leaked *Tx
	if err := db.Write(ctx, func(tx *Tx) error { leaked = tx; return nil }); err != nil {
		t.Fatal(err)
	}
	wantError(t, "use after the function", addNote(ctx, "a")(leaked), sql.ErrTxDone)
	if n := countNotes(t, db); n != 0 {
		t.Errorf("%d rows, want none", n)
	}
}

func TestTxQuery(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	ctx := within(t, time.Minute)
	const insert = `INSERT INTO notes (id, n) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING RETURNING n`
	err := db.Write(ctx, func(tx *Tx) error {
		var n int
		for want, id := range []string{"a", "b"} {
			if err := tx.QueryRow(ctx, insert, id, want).Scan(&n); err != nil || n != want {
				t.Errorf("insert %s returned %d, %v", id, n, err)
			}
		}
		wantError(t, "insert of what is there", tx.QueryRow(ctx, insert, "a", 7).Scan(&n), sql.ErrNoRows)
		rows, err := tx.Query(ctx, `SELECT id, n FROM notes ORDER BY id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		var all strings.Builder
		for rows.Next() {
			var id string
			if err := rows.Scan(&id, &n); err != nil {
				return err
			}
			all.WriteString(id)
		}
		if all.String() != "ab" {
			t.Errorf("the transaction sees %q of its own rows, want ab", all.String())
		}
		if err := rows.Err(); err != nil {
			return err
		}
		return addNote(ctx, "c")(tx) // the rows are closed by their end
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := countNotes(t, db); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
}

// endless counts for some minutes.
const endless = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000000000) SELECT max(i) FROM n`

func TestDeadlineEndsASelect(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{Grace: time.Minute}, testMigrations)
	for name, run := range map[string]func(context.Context) error{
		"on a reader": func(ctx context.Context) error { return db.QueryRow(ctx, endless).Scan(new(int)) },
		"on the writer": func(ctx context.Context) error {
			return db.Write(ctx, func(tx *Tx) error {
				return tx.QueryRow(ctx, `SELECT * FROM (`+endless+`) AS slow`).Scan(new(int))
			})
		},
	} {
		start := time.Now()
		wantError(t, name, run(within(t, 50*time.Millisecond)), context.DeadlineExceeded)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s the deadline of 50 ms took %v", name, took)
		}
	}
	ctx := within(t, time.Minute)
	if err := db.Write(ctx, addNote(ctx, "a")); err != nil {
		t.Errorf("after an interrupted SELECT: %v", err)
	}
}

func TestReadersCannotWrite(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	ctx := within(t, time.Minute)
	err := db.QueryRow(ctx, `INSERT INTO notes (id) VALUES ('a') RETURNING id`).Scan(new(string))
	if err == nil || countNotes(t, db) != 0 {
		t.Errorf("a reader wrote (%v)", err)
	}
}

func TestStatementCacheIsBounded(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	ctx := within(t, time.Minute)
	for n := range maxStatements + 50 {
		query := "SELECT $1 " + strings.Repeat(" ", n)
		var got int
		if err := db.QueryRow(ctx, query, n).Scan(&got); err != nil || got != n {
			t.Fatalf("text %d: %d, %v", n, got, err)
		}
	}
	if n := len(db.engine.(*sqliteEngine).stmts.by); n != maxStatements {
		t.Errorf("%d statements are cached, want %d", n, maxStatements)
	}
}
