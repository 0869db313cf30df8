package sqldb

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"clinsource/internal/sqldb/pgtest"
)

// TestSave holds that a snapshot goes into a file as it was when it was taken, and
// that Move finds the file and the database the same.
func TestSave(t *testing.T) {
	server := pgtest.Shared(t)
	files := withFile("postgres/00002_same.sql", "-- +goose Up\nSELECT 1;\n")
	place := schemaFor(t, t.TempDir(), files)
	ctx := within(t, time.Minute)
	db, err := Open(ctx, Config{Postgres: place}, files)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for n := range 20 {
		if err := db.Write(ctx, addNote(ctx, fmt.Sprintf("Zoë's ñ %d", n))); err != nil {
			t.Fatal(err)
		}
	}
	owner := Postgres{Url: server.URL(pgtest.Owner, "postgres"), Schema: place.Schema}
	snapshot, err := TakeSnapshot(ctx, owner)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := snapshot.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}()
	file := filepath.Join(t.TempDir(), "saved", "test.db")
	if err := snapshot.Save(ctx, place.Schema, file, files); err != nil {
		t.Fatal(err)
	}
	tables, err := Move(ctx, file, Migration{Owner: owner, Migrations: files})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range tables {
		if m.Table == "notes" && m.Rows != 20 {
			t.Errorf("%+v", m)
		}
	}
	if err := db.Write(ctx, addNote(ctx, "later")); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "test.db")
	if err := snapshot.Save(ctx, place.Schema, again, files); err != nil {
		t.Fatal(err)
	}
	saved, err := Open(ctx, Config{Path: again}, files)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	if n := countNotes(t, saved); n != 20 {
		t.Errorf("the snapshot has %d notes, 20 were there when it was taken", n)
	}
	newer := withFile("postgres/00003_more.sql", "-- +goose Up\nSELECT 1;\n")
	if err := snapshot.Save(ctx, place.Schema, filepath.Join(t.TempDir(), "x.db"), newer); err == nil {
		t.Error("a schema of another version is saved")
	}
}
