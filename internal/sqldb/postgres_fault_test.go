package sqldb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clinsource/internal/sqldb/pgtest"
)

// TestServerEndsUnderLoad ends PostgreSQL in three ways while two replicas write,
// whose callers send again what was not acknowledged: nothing acknowledged is
// lost, nothing is done twice, and all goes on by itself.
func TestServerEndsUnderLoad(t *testing.T) {
	server := pgtest.New(t)
	place := migrated(t, server, "postgres", "load", testMigrations)
	place.Writers = 2
	replicas := []*DB{opened(t, Config{Postgres: place}, testMigrations), opened(t, Config{Postgres: place}, testMigrations)}
	ctx := within(t, 2*time.Minute)
	if err := replicas[0].Write(ctx, addNote(ctx, "sum")); err != nil {
		t.Fatal(err)
	}
	var done, unknown, away atomic.Int64
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d-%d", caller, n)
				if !sentUntilDone(ctx, t, replicas[caller%2], id, &unknown, &away) {
					return
				}
				done.Add(1)
			}
		})
	}
	for _, signal := range []string{"INT", "QUIT", "KILL"} {
		before := done.Load()
		waitFor(t, "writes before "+signal, func() bool { return done.Load() > before+50 })
		server.Stop(t, signal)
		if err := replicas[0].QueryRow(ctx, `SELECT 1`).Scan(new(int)); !errors.Is(err, ErrAway) {
			t.Errorf("a read while the server is away: %v, want ErrAway", err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	before := done.Load()
	waitFor(t, "writes after the last", func() bool { return done.Load() > before+50 })
	close(stop)
	callers.Wait()
	var notes, sum int64
	if err := replicas[1].QueryRow(ctx, `SELECT count(*) - 1, sum(n) FROM notes`).Scan(&notes, &sum); err != nil {
		t.Fatal(err)
	}
	if notes != done.Load() || sum != done.Load() {
		t.Errorf("%d notes and a sum of %d for %d that were acknowledged", notes, sum, done.Load())
	}
	t.Logf("%d acknowledged; sent again after %d unknown outcomes and %d refusals", done.Load(), unknown.Load(), away.Load())
}

// sentUntilDone adds a note and counts it, once, however often it is sent.
func sentUntilDone(ctx context.Context, t *testing.T, db *DB, id string, unknown, away *atomic.Int64) bool {
	for {
		err := db.Write(ctx, func(tx *Tx) error {
			result, err := tx.Exec(ctx, `INSERT INTO notes (id) VALUES ($1) ON CONFLICT (id) DO NOTHING`, id)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil || n == 0 {
				return err
			}
			var sum int64
			if err := tx.QueryRow(ctx, `SELECT n FROM notes WHERE id = 'sum'`).Scan(&sum); err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `UPDATE notes SET n = $1 WHERE id = 'sum'`, sum+1)
			return err
		}, Key("sum"))
		switch {
		case err == nil:
			return true
		case errors.Is(err, ErrOutcomeUnknown):
			unknown.Add(1)
		case errors.Is(err, ErrAway):
			away.Add(1)
		default:
			t.Errorf("a caller was told %v", err)
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

// TestDeadlineEndsTheStatementOnTheServer looks where the statement runs.
func TestDeadlineEndsTheStatementOnTheServer(t *testing.T) {
	place := schemaFor(t, t.TempDir(), testMigrations)
	db := opened(t, Config{Postgres: place, Grace: time.Minute}, testMigrations)
	ctx := within(t, time.Minute)
	sleep := func(short context.Context) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := tx.Exec(short, `UPDATE notes SET n = 1 WHERE pg_sleep(50) IS NULL`)
			return err
		}
	}
	if err := db.Write(ctx, addNote(ctx, "a")); err != nil {
		t.Fatal(err)
	}
	short := within(t, 300*time.Millisecond)
	wantError(t, "a write", db.Write(short, sleep(short)), context.DeadlineExceeded)
	short = within(t, 300*time.Millisecond)
	wantError(t, "a read", db.QueryRow(short, `SELECT 1 FROM pg_sleep(50)`).Scan(new(int)), context.DeadlineExceeded)
	waitFor(t, "the end of the statements on the server", func() bool {
		var n int
		err := db.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
 WHERE usename = current_user AND state = 'active' AND query LIKE '%pg_sleep(50)%' AND pid <> pg_backend_pid()`).Scan(&n)
		return err == nil && n == 0
	})
	if err := db.Write(ctx, addNote(ctx, "after")); err != nil {
		t.Errorf("the writer does not go on: %v", err)
	}
}

// TestCommitThatIsNotAnswered cuts the connection after COMMIT has left. Whether
// it took effect is the server's to know: it is committed, unless the driver's
// request to cancel what it gave up overtakes it.
func TestCommitThatIsNotAnswered(t *testing.T) {
	server := pgtest.Shared(t)
	place := schemaFor(t, t.TempDir(), testMigrations)
	var cut atomic.Bool
	place.Url = strings.Replace(place.Url, server.Addr(), proxy(t, server.Addr(), &cut), 1)
	db := opened(t, Config{Postgres: place}, testMigrations)
	ctx := within(t, time.Minute)
	cut.Store(true)
	err := db.Write(ctx, addNote(ctx, "a"))
	wantError(t, "a commit without an answer", err, ErrOutcomeUnknown)
	if errors.Is(err, ErrAway) {
		t.Errorf("%v says that nothing was kept, and it was", err)
	}
	cut.Store(false)
	var unknown, away atomic.Int64
	for _, id := range []string{"sum", "a", "b"} {
		if !sentUntilDone(ctx, t, db, id, &unknown, &away) {
			t.Errorf("the writer does not go on with %s", id)
		}
	}
	if n := countNotes(t, db); n != 3 || unknown.Load() != 0 {
		t.Errorf("%d notes, want the one of unknown outcome once, and two more", n)
	}
}

// proxy passes connections on, and with cut ends each when the server has got a
// COMMIT, before the answer.
func proxy(t *testing.T, to string, cut *atomic.Bool) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			all.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
			all.Go(func() { pass(client, server, cut); _ = server.Close() })
		}
	})
	return l.Addr().String()
}

func pass(client, server net.Conn, cut *atomic.Bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		ends := cut.Load() && bytes.Contains(buffer[:n], []byte("COMMIT"))
		if ends {
			_ = client.Close() // The answer finds nobody.
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
		if ends {
			time.Sleep(200 * time.Millisecond) // The server commits meanwhile.
			return
		}
	}
}

func TestMigrateAtOnceAndAgain(t *testing.T) {
	server := pgtest.Shared(t)
	schema := fmt.Sprintf("atonce%d", schemasMade.Add(1))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { migrated(t, server, "postgres", schema, testMigrations) })
	}
	all.Wait()
	db := opened(t, Config{Postgres: migrated(t, server, "postgres", schema, testMigrations)}, testMigrations)
	var files int
	err := db.QueryRow(within(t, time.Minute), `SELECT count(*) FROM goose_db_version WHERE version_id = 1`).Scan(&files)
	if err != nil || files != 1 {
		t.Errorf("migration 1 was applied %d times (%v)", files, err)
	}
}

func TestOpenChecksSchemaAndRole(t *testing.T) {
	server := pgtest.Shared(t)
	newer := withFile("postgres/00002_colour.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue';\n")
	place := schemaFor(t, t.TempDir(), testMigrations)
	owner, nowhere, secret, away := *place, *place, *place, *place
	owner.Url = server.URL(pgtest.Owner, "postgres")
	nowhere.Schema = "nowhere"
	secret.Url = strings.Replace(place.Url, "@", ":hunter2@", 1)
	away.Url = strings.Replace(place.Url, server.Addr(), "127.0.0.1:1", 1)
	for want, p := range map[string]Postgres{
		"could change and delete": owner, "run clinctl migrate": nowhere, "holds a password": secret, ErrAway.Error(): away,
	} {
		_, err := Open(within(t, time.Minute), Config{Postgres: &p}, testMigrations)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	_, err := Open(within(t, time.Minute), Config{Postgres: place}, newer)
	if err == nil || !strings.Contains(err.Error(), "has version 1 and this binary needs 2; run clinctl migrate") {
		t.Errorf("an older schema: %v", err)
	}
	opened(t, Config{Postgres: migrated(t, server, "postgres", place.Schema, newer)}, testMigrations) // An old binary on a new schema.
	server.Exec(t, "postgres", "ALTER ROLE service_"+place.Schema+" SET synchronous_commit = off")
	if _, err := Open(within(t, time.Minute), Config{Postgres: place}, testMigrations); err == nil || !strings.Contains(err.Error(), "synchronous_commit is off and must be on") {
		t.Errorf("without synchronous commits: %v", err)
	}
}
