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
