package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func open(t *testing.T, dir string, uploads int) *Store {
	t.Helper()
	s, err := Open(dir, uploads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // Some tests close it themselves.
	return s
}

func begin(t *testing.T, s *Store, content string) *Upload {
	t.Helper()
	u, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := u.Write([]byte(content)); n != len(content) || err != nil {
		t.Fatal(n, err)
	}
	return u
}

func published(t *testing.T, s *Store, content string) *Upload {
	t.Helper()
	u := begin(t, s, content)
	check(t, u.Publish())
	return u
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// files lists the files of the folder but the lock, by their paths in it.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			name, _ := filepath.Rel(dir, path)
			list = append(list, filepath.ToSlash(name))
		}
		return err
	}))
	return list
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}

func TestKeptImageIsReadBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b") // Made on the way.
	s := open(t, dir, 1)
	u := begin(t, s, "some bytes")
	if got := u.Sum(); got != "0d22cdcc10e6d049dbe1af5123d50873fdfc1a4f58306e58cb6241be9472014d" {
		t.Errorf("digest %s", got)
	}
	part := make([]byte, 5)
	if n, err := u.ReadAt(part, 5); n != 5 || err != nil || string(part) != "bytes" {
		t.Errorf("read %q, %v", part[:n], err)
	}
	if _, err := s.Read(u.ID()); !errors.Is(err, ErrMissing) {
		t.Errorf("read before it was published: %v", err)
	}
	check(t, u.Publish())
	check(t, u.Keep())
	check(t, u.Close()) // As deferred; it must not take the image with it.
	f, err := s.Read(u.ID())
	check(t, err)
	got, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil || string(got) != "some bytes" || u.Size() != 10 {
		t.Errorf("read %q, size %d, %v", got, u.Size(), err)
	}
	wantFiles(t, dir, place(u.ID()))
}

func TestDigestAndBytesOfALargeUpload(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1)
	content := make([]byte, 3*writebackEvery+12345)
	_, err := rand.Read(content)
	check(t, err)
	u, err := s.Create()
	check(t, err)
	for rest := content; len(rest) > 0; rest = rest[min(len(rest), 999_999):] {
		if _, err := u.Write(rest[:min(len(rest), 999_999)]); err != nil {
			t.Fatal(err)
		}
	}
	digest := newDigest()
	digest.Write(content)
	if want := (&Upload{digest: digest}).Sum(); u.Sum() != want {
		t.Errorf("digest %s, want %s", u.Sum(), want)
	}
	check(t, u.Publish())
	check(t, u.Keep())
	got, err := os.ReadFile(filepath.Join(dir, place(u.ID())))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes of %d, %v", len(got), len(content), err)
	}
}

func TestClosedUploadLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1) // The place of each is free again for the next.
	check(t, begin(t, s, "x").Close())
	check(t, published(t, s, "x").Close())
	u := published(t, s, "x")
	check(t, u.Close())
	check(t, u.Close())
	wantFiles(t, dir)
}

func TestUploadsAtOnce(t *testing.T) {
	s := open(t, t.TempDir(), 2)
	a, b := begin(t, s, "a"), begin(t, s, "b")
	if _, err := s.Create(); !errors.Is(err, ErrBusy) {
		t.Errorf("a third upload: %v", err)
	}
	check(t, a.Close())
	check(t, begin(t, s, "c").Close())
	check(t, b.Leave())
	check(t, begin(t, s, "d").Close())
}

func TestFullDiskIsSeenBefore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1)
	s.free = func(*os.File) (uint64, error) { return 1000, nil }
	if err := s.Room(1001); !IsFull(err) {
		t.Errorf("more than there is: %v", err)
	}
	check(t, s.Room(1000))
	if free, err := freeBytes(s.lock); err != nil || free == 0 {
		t.Errorf("%d bytes are free, %v", free, err)
	}
}

// TestOlderVersionsHoldTheFolderAlone keeps a process that would settle others'
// uploads away, and is kept away by it.
func TestOlderVersionsHoldTheFolderAlone(t *testing.T) {
	dir := t.TempDir()
	s, beside := open(t, dir, 1), open(t, dir, 1)
	old, err := os.Open(filepath.Join(dir, "lock"))
	check(t, err)
	alone := func() error { return syscall.Flock(int(old.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
	if err := alone(); err == nil {
		t.Error("the folder could be taken alone beside others")
	}
	check(t, s.Close())
	check(t, beside.Close())
	check(t, alone())
	if _, err := Open(dir, 1); err == nil || !strings.Contains(err.Error(), "older version") {
		t.Errorf("beside an older version: %v", err)
	}
	check(t, old.Close())
	open(t, dir, 1)
}

func TestNoPathLeavesTheFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "images"), 1)
	check(t, os.WriteFile(filepath.Join(dir, "secret"), nil, 0o600))
	for _, id := range []string{"", ".", "..", "../secret", "/etc/passwd", "x/../../../secret", "incoming"} {
		if f, err := s.Read(id); err == nil {
			t.Errorf("%q was opened as %s", id, f.Name())
		}
	}
}

// fates judges by a table; what it does not list is Unknown.
func fates(rows map[string]Fate) Judge {
	return func(_ context.Context, id string) (Fate, error) { return rows[id], nil }
}

// TestSettle closes a store in the middle of uploads of every kind, as a crash
// would, and lets two others decide them at once.
func TestSettle(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 10)
	partial, bare, visible := begin(t, s, "1"), published(t, s, "2"), published(t, s, "3")
	pending, ended := begin(t, s, "4"), published(t, s, "5")
	kept := published(t, s, "6")
	check(t, kept.Keep())
	for _, u := range []*Upload{partial, bare, visible, pending, ended} {
		check(t, u.file.Close()) // What a dead process's locks come to.
	}
	check(t, s.Close())

	a, b := open(t, dir, 10), open(t, dir, 10)
	a.young, b.young = 0, 0
	going := begin(t, b, "7") // Must not be touched.
	rows := map[string]Fate{visible.ID(): Visible, pending.ID(): Pending, ended.ID(): Ended, kept.ID(): Visible}
	var both sync.WaitGroup
	for _, s := range []*Store{a, b} {
		both.Go(func() {
			for range 20 {
				if err := s.Settle(t.Context(), fates(rows)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	wantFiles(t, dir, place(visible.ID()), place(kept.ID()), under(incoming, pending.ID()), under(incoming, going.ID()))
	check(t, going.Close())
}

// TestSettleWaitsForRows leaves what was published a moment ago: the database may
// still commit the row of whoever died.
func TestSettleWaitsForRows(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 10)
	u := published(t, s, "1")
	check(t, u.file.Close())
	check(t, s.Settle(t.Context(), fates(nil)))
	wantFiles(t, dir, under(incoming, u.ID()), place(u.ID()))
	s.young = 0
	check(t, s.Settle(t.Context(), fates(nil)))
	wantFiles(t, dir)
}

// TestLeftIsSettledHereOnly leaves an upload whose row's outcome is unknown: only
// the process that may still write the row may decide, and only later.
func TestLeftIsSettledHereOnly(t *testing.T) {
	dir := t.TempDir()
	mine, other := open(t, dir, 10), open(t, dir, 10)
	other.young = 0
	u := published(t, mine, "1")
	check(t, u.Leave())
	check(t, mine.Settle(t.Context(), fates(nil)))
	check(t, other.Settle(t.Context(), fates(nil)))
	wantFiles(t, dir, under(incoming, u.ID()), place(u.ID()))
	mine.young = 0
	away := errors.New("the database is away")
	err := mine.Settle(t.Context(), func(context.Context, string) (Fate, error) { return Unknown, away })
	if !errors.Is(err, away) {
		t.Errorf("the error is %v", err)
	}
	check(t, other.Settle(t.Context(), fates(nil))) // It is still held here.
	wantFiles(t, dir, under(incoming, u.ID()), place(u.ID()))
	check(t, mine.Settle(t.Context(), fates(map[string]Fate{u.ID(): Visible})))
	wantFiles(t, dir, place(u.ID()))
}

func TestKeepSettlingBeginsAtOnceAndEnds(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	s := open(t, dir, 1)
	s.young = 0
	check(t, published(t, s, "1").Leave())
	asked := make(chan string, 1)
	stop := s.KeepSettling(func(_ context.Context, id string) (Fate, error) {
		asked <- id
		return Unknown, nil
	})
	<-asked
	check(t, stop())
	wantFiles(t, dir)
}
