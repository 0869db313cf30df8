package sqldb

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDiskFailsUnderCommit lets the kernel refuse the log's growth, which
// SQLite meets as an I/O error within COMMIT.
func TestDiskFailsUnderCommit(t *testing.T) {
	folder := t.TempDir()
	db := openIn(t, folder, Config{}, testMigrations)
	ctx := within(t, time.Minute)
	if err := db.Write(ctx, addNote(ctx, "before")); err != nil {
		t.Fatal(err)
	}
	log, err := os.Stat(filepath.Join(folder, "test.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	lift := limitFileSize(t, uint64(log.Size())+2000)
	errs := together(t, db, addNote(ctx, strings.Repeat("x", 20_000)), addNote(ctx, "beside"))
	lift()
	for i, err := range errs {
		if !IsFull(err) {
			t.Errorf("call %d: %v, want an error that IsFull", i, err)
		}
		wantError(t, "a commit that the disk failed under", err, ErrOutcomeUnknown)
	}
	if err := db.Write(ctx, addNote(ctx, "after")); err != nil {
		t.Errorf("the queue does not go on: %v", err)
	}
	if n := countNotes(t, db); n != 2 {
		t.Errorf("%d rows, want the one before and the one after", n)
	}
}

func limitFileSize(t *testing.T, size uint64) (lift func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ) // else the kernel's answer is to kill
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	set := func(limit syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
	}
	set(syscall.Rlimit{Cur: size, Max: old.Max})
	return func() { set(old); signal.Reset(syscall.SIGXFSZ) }
}
