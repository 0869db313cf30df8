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
	u, err := s.Create(uint64(len(content)))
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
	u, err := s.Create(0)
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
	if _, err := s.Create(0); !errors.Is(err, ErrBusy) {
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
	if _, err := s.Create(1001); !IsFull(err) {
		t.Errorf("more than there is: %v", err)
	}
	wantFiles(t, dir)
	check(t, begin(t, s, strings.Repeat("x", 1000)).Close())
	if free, err := freeBytes(s.lock); err != nil || free == 0 {
		t.Errorf("%d bytes are free, %v", free, err)
	}
}

func TestOneProcessAFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1)
	if _, err := Open(dir, 1); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second store: %v", err)
	}
	check(t, s.Close())
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

// TestSettle closes a store in the middle of uploads of every kind, as a crash
// would, and lets the next one decide them.
func TestSettle(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 10)
	partial, bare, visible, left := begin(t, s, "1"), published(t, s, "2"), published(t, s, "3"), published(t, s, "4")
	kept := published(t, s, "5")
	check(t, kept.Keep())
	check(t, left.Leave())
	check(t, s.Close())

	s = open(t, dir, 10)
	going := begin(t, s, "6") // Must not be touched.
	rows := map[string]bool{visible.ID(): true, left.ID(): true, kept.ID(): true}
	exists := func(_ context.Context, id string) (bool, error) { return rows[id], nil }
	check(t, s.Settle(t.Context(), exists))
	check(t, s.Settle(t.Context(), exists))
	wantFiles(t, dir, place(visible.ID()), place(left.ID()), place(kept.ID()), under(incoming, going.ID()))
	for _, gone := range []*Upload{partial, bare} {
		if _, err := s.Read(gone.ID()); !errors.Is(err, ErrMissing) {
			t.Errorf("an image without a row is there: %v", err)
		}
	}
	check(t, going.Close())
}

func TestSettleRemovesNothingInDoubt(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 10)
	doubtful, bare := published(t, s, "1"), published(t, s, "2")
	check(t, doubtful.Leave())
	check(t, bare.Leave())
	away := errors.New("the database is away")
	err := s.Settle(t.Context(), func(_ context.Context, id string) (bool, error) {
		if id == doubtful.ID() {
			return false, away
		}
		return false, nil
	})
	if !errors.Is(err, away) {
		t.Errorf("the error is %v", err)
	}
	wantFiles(t, dir, under(incoming, doubtful.ID()), place(doubtful.ID()))
}

func TestKeepSettlingBeginsAtOnceAndEnds(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	s := open(t, dir, 1)
	check(t, published(t, s, "1").Leave())
	asked := make(chan string, 1)
	stop := s.KeepSettling(func(_ context.Context, id string) (bool, error) {
		asked <- id
		return false, nil
	})
	<-asked
	check(t, stop())
	wantFiles(t, dir)
}
