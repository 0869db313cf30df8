// Package sqldbtest runs a store's tests on every engine that sqldb has: today
// SQLite, in a folder of its own. A store writes its suite once, against Each,
// and gains an engine when Each does.
package sqldbtest

import (
	"context"
	"io/fs"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"clinsource/internal/sqldb"
)

// engines are the ways to make an empty database. A file for another engine adds
// itself here.
var engines = map[string]func(t *testing.T) func(migrations fs.FS) *sqldb.DB{
	"sqlite": sqlite,
}

// Each runs f once per engine, as a subtest of its name. Each call of open gives
// a new, empty database with these migrations, closed when the subtest ends.
func Each(t *testing.T, f func(t *testing.T, open func(migrations fs.FS) *sqldb.DB)) {
	t.Helper()
	for name, open := range engines {
		t.Run(name, func(t *testing.T) { f(t, open(t)) })
	}
}

func sqlite(t *testing.T) func(fs.FS) *sqldb.DB {
	folder, opened := t.TempDir(), 0
	return func(migrations fs.FS) *sqldb.DB {
		t.Helper()
		opened++
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		db, err := sqldb.Open(ctx, sqldb.Config{
			Path: filepath.Join(folder, strconv.Itoa(opened)+".db"),
			Name: "test",
		}, migrations)
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
}
