package sqldb

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestInspectSeesAndLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "test.db")
	ctx := within(t, time.Minute)
	db := openIn(t, folder, Config{}, testMigrations)
	for n := range int64(300) {
		if err := writeVitals(db, n); err != nil {
			t.Fatal(err)
		}
	}
	if i, err := Inspect(ctx, path); err != nil || i.Schema != 2 || i.Problems != "" {
		t.Errorf("beside its service: %+v, %v", i, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before := filesIn(t, folder)
	if i, err := Inspect(ctx, path); err != nil || i.Schema != 2 || i.Problems != "" || i.Bytes == 0 {
		t.Errorf("at rest: %+v, %v", i, err)
	}
	if after := filesIn(t, folder); !slices.Equal(before, after) {
		t.Errorf("the look has left %v, before it were %v", after, before)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(data[2*4096:], strings.Repeat("damage", 4096))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if i, err := Inspect(ctx, path); err == nil && i.Problems == "" {
		t.Errorf("a damaged file: %+v", i)
	}
	if _, err := Inspect(ctx, filepath.Join(folder, "none.db")); err == nil {
		t.Error("a file that there is not")
	}
}

func filesIn(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestSums holds that a sum sees what a count does not, and is of one moment of a
// file that is written to.
func TestSums(t *testing.T) {
	folder := t.TempDir()
	db := openIn(t, folder, Config{}, testMigrations)
	ctx := within(t, time.Minute)
	sums := func() (note Sum) {
		t.Helper()
		copied := filepath.Join(t.TempDir(), "copy.db")
		if err := Copy(ctx, filepath.Join(folder, "test.db"), copied); err != nil {
			t.Fatal(err)
		}
		all, err := Sums(ctx, copied)
		if err != nil || len(all) < 2 {
			t.Fatal(all, err)
		}
		for _, s := range all {
			if s.Table == "notes" {
				note = s
			}
		}
		return note
	}
	seen := map[string]bool{}
	for n, id := range []string{"", "a", "b", "ab", "Zoë"} {
		if id != "" {
			if err := db.Write(ctx, addNote(ctx, id)); err != nil {
				t.Fatal(err)
			}
		}
		s := sums()
		if s.Rows != int64(n) || len(s.Hash) != 64 || seen[s.Hash] || s != sums() {
			t.Errorf("with %d rows: %+v", n, s)
		}
		seen[s.Hash] = true
	}
	if err := db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(ctx, `UPDATE notes SET id = 'c' WHERE id = 'b'`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if s := sums(); s.Rows != 4 || seen[s.Hash] {
		t.Errorf("a changed row: %+v", s)
	}
}
