// Package sqldbtest runs a store's tests on every engine that sqldb has: SQLite,
// in a folder of its own, and PostgreSQL, in a schema of its own and as a role
// with a service's rights (pgtest says where that server comes from). A store
// writes its suite once, against Each, and gains an engine when Each does.
package sqldbtest

import (
	"context"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"clinsource/internal/sqldb"
	"clinsource/internal/sqldb/pgtest"
)

// engines are the ways to make an empty database.
var engines = map[string]func(t *testing.T) func(migrations fs.FS) *sqldb.DB{
	"sqlite":   sqlite,
	"postgres": postgres,
}

// Each runs f once per engine, as a subtest of its name. Each call of open gives
// a new, empty database with these migrations, closed when the subtest ends.
func Each(t *testing.T, f func(t *testing.T, open func(migrations fs.FS) *sqldb.DB)) {
	t.Helper()
	for name, open := range engines {
		t.Run(name, func(t *testing.T) { f(t, open(t)) })
	}
}

// OnPostgres tells a test under Each which engine it is on, where the statements
// that it sends must differ.
func OnPostgres(t testing.TB) bool { return strings.Contains(t.Name()+"/", "/postgres/") }

// writers of a PostgreSQL database under test.
const writers = 2

// OneWriter keeps all writers of the database but one busy until the test ends,
// for tests that hold the writer up to make others wait.
func OneWriter(t *testing.T, db *sqldb.DB) {
	t.Helper()
	if !OnPostgres(t) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	free, ended := make(chan struct{}), make(chan error, writers-1)
	for range writers - 1 {
		running := make(chan struct{}, 1)
		go func() {
			ended <- db.Write(ctx, func(*sqldb.Tx) error {
				select {
				case running <- struct{}{}:
				default: // Run a second time.
				}
				<-free
				return nil
			})
		}()
		<-running
	}
	t.Cleanup(func() {
		close(free)
		for range writers - 1 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		cancel()
	})
}

func sqlite(t *testing.T) func(fs.FS) *sqldb.DB {
	folder, opened := t.TempDir(), 0
	return func(migrations fs.FS) *sqldb.DB {
		t.Helper()
		opened++
		return open(t, sqldb.Config{Path: filepath.Join(folder, strconv.Itoa(opened)+".db")}, migrations)
	}
}

func open(t *testing.T, cfg sqldb.Config, migrations fs.FS) *sqldb.DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cfg.Name = "test"
	db, err := sqldb.Open(ctx, cfg, migrations)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func postgres(t *testing.T) func(fs.FS) *sqldb.DB {
	server := pgtest.Shared(t)
	return func(migrations fs.FS) *sqldb.DB {
		t.Helper()
		return open(t, sqldb.Config{Postgres: Schema(t, server, migrations)}, migrations)
	}
}

// schemas counts them, because the roles are the whole server's.
var schemas atomic.Int64

// Schema migrates a new schema on the server, and says how a service gets at it.
func Schema(t testing.TB, server *pgtest.Server, migrations fs.FS) *sqldb.Postgres {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	schema := "test" + strconv.FormatInt(schemas.Add(1), 10)
	_, err := sqldb.Migrate(ctx, sqldb.Migration{
		Owner: sqldb.Postgres{Url: server.URL(pgtest.Owner, "postgres"), Schema: schema},
		Role:  "clinsource_" + schema, Migrations: migrations,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &sqldb.Postgres{Url: server.URL("clinsource_"+schema, "postgres"), Schema: schema, Writers: writers}
}
