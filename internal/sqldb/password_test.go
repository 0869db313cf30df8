package sqldb

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clinsource/internal/sqldb/pgtest"
)

// askPasswords makes the server ask the role for its password, and trust others.
const askPasswords = `DO $$ BEGIN
EXECUTE format('COPY (SELECT unnest(ARRAY[''host all service_password 127.0.0.1/32 scram-sha-256'', ''host all all 127.0.0.1/32 trust'', ''local all all trust''])) TO %L', current_setting('hba_file'));
PERFORM pg_reload_conf(); END $$`

// A role's password is replaced under load, twice: nobody is refused, and what
// connects afterwards does so with the new one.
func TestPasswordRotatesUnderLoad(t *testing.T) {
	server := pgtest.New(t)
	place := migrated(t, server, "postgres", "password", testMigrations)
	place.PasswordFile = filepath.Join(t.TempDir(), "password")
	replace := func(password string) {
		t.Helper()
		next := place.PasswordFile + ".next"
		if err := os.WriteFile(next, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		server.Exec(t, "postgres", "ALTER ROLE service_password PASSWORD '"+password+"'")
		if err := os.Rename(next, place.PasswordFile); err != nil {
			t.Fatal(err)
		}
	}
	replace("first")
	server.Exec(t, "postgres", askPasswords)
	db := opened(t, Config{Postgres: place}, testMigrations)
	ctx := within(t, time.Minute)
	if err := db.Write(ctx, addNote(ctx, "sum")); err != nil {
		t.Fatal(err)
	}
	var done, unknown, away, unread atomic.Int64
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if !sentUntilDone(ctx, t, db, fmt.Sprintf("%d-%d", caller, n), &unknown, &away) {
					return
				}
				if db.QueryRow(ctx, `SELECT 1`).Scan(new(int)) != nil {
					unread.Add(1)
				}
				done.Add(1)
			}
		})
	}
	for _, password := range []string{"second", "third"} {
		before := done.Load()
		replace(password)
		waitFor(t, "writes after the change", func() bool { return done.Load() > before+50 })
	}
	close(stop)
	callers.Wait()
	if away.Load()+unknown.Load()+unread.Load() != 0 {
		t.Errorf("of %d writes and reads %d were away, %d unknown, %d not read", done.Load(), away.Load(), unknown.Load(), unread.Load())
	}
	server.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'service_password'")
	waitFor(t, "a write on a new connection", func() bool { return db.Write(ctx, addNote(ctx, "after")) == nil })
	waitFor(t, "a read on a new connection", func() bool { return db.QueryRow(ctx, `SELECT 1`).Scan(new(int)) == nil })
	stale := *place
	stale.PasswordFile = filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(stale.PasswordFile, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	if old, err := Open(ctx, Config{Postgres: &stale}, testMigrations); err == nil {
		_ = old.Close()
		t.Error("the old password still opens the database")
	}
}
