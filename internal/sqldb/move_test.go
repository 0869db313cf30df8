package sqldb

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"clinsource/internal/sqldb/pgtest"
)

func TestMove(t *testing.T) {
	server := pgtest.Shared(t)
	files := withFile("postgres/00002_same.sql", "-- +goose Up\nSELECT 1;\n") // SQLite's 00002 are triggers.
	folder := t.TempDir()
	db := openIn(t, folder, Config{}, files)
	ctx := within(t, time.Minute)
	for n := range int64(30) {
		if err := writeVitals(db, n); err != nil {
			t.Fatal(err)
		}
		if err := db.Write(ctx, addNote(ctx, fmt.Sprintf("Zoë's ñ %d", n))); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "test.db")
	schema := schemaFor(t, t.TempDir(), files).Schema
	to := Migration{Owner: Postgres{Url: server.URL(pgtest.Owner, "postgres"), Schema: schema}, Migrations: files}

	// A row that arrives changed.
	server.Exec(t, "postgres", `CREATE FUNCTION `+schema+`.spoil() RETURNS trigger LANGUAGE plpgsql AS
 $$ BEGIN IF NEW.patient_id = 'demo-007' THEN NEW.temperature := '39.9'; END IF; RETURN NEW; END $$`,
		`CREATE TRIGGER spoil BEFORE INSERT ON `+schema+`.vitals FOR EACH ROW EXECUTE FUNCTION `+schema+`.spoil()`)
	_, err := Move(ctx, file, to)
	wantError(t, "a row that arrived changed", err, ErrDiffers)
	server.Exec(t, "postgres", `DROP TRIGGER spoil ON `+schema+`.vitals`)

	counts := map[string]int64{"audit": 30, "notes": 30, "replies": 0, "vitals": 30}
	for _, there := range []bool{false, true} {
		tables, err := Move(ctx, file, to)
		if err != nil || len(tables) != len(counts) {
			t.Fatalf("moved %v, %v", tables, err)
		}
		for _, m := range tables {
			if m.Rows != counts[m.Table] || m.There != (there && m.Rows > 0) || len(m.Hash) != 64 {
				t.Errorf("again %v: %+v, want %d rows", there, m, counts[m.Table])
			}
		}
	}
	server.Exec(t, "postgres", `DELETE FROM `+schema+`.notes WHERE id = 'Zoë''s ñ 3'`)
	if _, err := Move(ctx, file, to); !errors.Is(err, ErrDiffers) {
		t.Errorf("a target that holds other rows: %v", err)
	}
}
