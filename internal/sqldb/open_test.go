package sqldb

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestOpenMakesItsFolderAndKeepsItPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "100% odd?", "vitals.db")
	db, err := Open(within(t, time.Minute), Config{Path: path}, testMigrations)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if db.cfg.Name != "vitals" {
		t.Errorf("name %q, want vitals", db.cfg.Name)
	}
	for file, want := range map[string]fs.FileMode{filepath.Dir(path): 0o700, path: 0o600, path + "-wal": 0o600} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", filepath.Base(file), got, want)
		}
	}
}

func TestOpenAgainKeepsRowsAndAddsMigrations(t *testing.T) {
	folder := t.TempDir()
	ctx := within(t, time.Minute)
	db := openIn(t, folder, Config{}, testMigrations)
	if err := db.Write(ctx, addNote(ctx, "a")); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "test.db-wal")); err == nil {
		t.Error("Close left the log beside the database")
	}

	newer := withFile("sqlite/00003_colour.sql", "-- +goose Up\nALTER TABLE notes ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue';\n")
	db = openIn(t, folder, Config{}, newer)
	var colour string
	if err := db.QueryRow(ctx, `SELECT colour FROM notes WHERE id = $1`, "a").Scan(&colour); err != nil || colour != "blue" {
		t.Errorf("the old row has colour %q (%v), want blue", colour, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	_, err := Open(ctx, Config{Path: filepath.Join(folder, "test.db")}, testMigrations)
	if err == nil || !strings.Contains(err.Error(), "version 3 and this binary knows versions up to 2") {
		t.Errorf("a schema newer than the binary: %v", err)
	}
}

// withFile is testMigrations with one more.
func withFile(name, text string) fs.FS {
	files := maps.Clone(testMigrations.(fstest.MapFS))
	files[name] = &fstest.MapFile{Data: []byte(text)}
	return files
}

func TestOpenRefuses(t *testing.T) {
	broken := fstest.MapFS{"sqlite/00001_x.sql": {Data: []byte("-- +goose Up\nCREATE TABEL x (id TEXT);\n")}}
	notADatabase := filepath.Join(t.TempDir(), "text.db")
	if err := os.WriteFile(notADatabase, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path string
		migrations fs.FS
		want       string
	}{
		{"no path", "", testMigrations, "no path given"},
		{"no migrations", filepath.Join(t.TempDir(), "a.db"), fstest.MapFS{}, "no file sqlite/*.sql"},
		{"a broken migration", filepath.Join(t.TempDir(), "a.db"), broken, "migrate the schema from version 0 to 1"},
		{"another kind of file", notADatabase, testMigrations, "not a database"},
		{"a folder", t.TempDir(), testMigrations, "is a directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, err := Open(within(t, time.Minute), Config{Path: test.path}, test.migrations)
			if err == nil {
				db.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.path) {
				t.Errorf("error %q, want one with %q and the path", err, test.want)
			}
		})
	}
}

func TestTriggersOfMigrationsHold(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	if err := writeVitals(db, 1); err != nil {
		t.Fatal(err)
	}
	ctx := within(t, time.Minute)
	for _, query := range []string{`UPDATE audit SET actor = 'x'`, `DELETE FROM audit`,
		`INSERT OR REPLACE INTO audit SELECT audit_id, project_id, at, 'x', action, record_id FROM audit`} {
		err := db.Write(ctx, func(tx *Tx) error { _, err := tx.Exec(ctx, query); return err })
		if err == nil || !strings.Contains(err.Error(), "audit rows are never") {
			t.Errorf("%s: %v, want the trigger's refusal", query, err)
		}
	}
	var actor string
	if err := db.QueryRow(ctx, `SELECT actor FROM audit`).Scan(&actor); err != nil || actor != "device-1" {
		t.Errorf("the audit row reads %q (%v)", actor, err)
	}
}

func TestSettingsThatDidNotTakeEffect(t *testing.T) {
	for pragmas, want := range map[string]string{
		"_pragma=journal_mode(DELETE)":                                                "journal_mode is delete and must be wal",
		"_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)":                       "synchronous is 1 and must be 2",
		"_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(0)": "foreign_keys is 0 and must be 1",
	} {
		pool, err := openPool(filepath.Join(t.TempDir(), "a.db"), pragmas)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		if err := checkSettings(within(t, time.Minute), pool); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", pragmas, err, want)
		}
	}
}
