// Package blob keeps the bytes of images: one file an image on the local disk,
// named by the image's id, which is made here; nothing that a caller or a file
// says is ever part of a path.
//
//	ImageDir/
//	  lock          held while a process works here: there is one
//	  incoming/ID   an upload, from its first byte until it is decided
//	  3f/ID         an image; 3f are the last two digits of its id
//
// An upload is written under incoming. Publish makes it durable and links it to
// its place as a second name of the same file; then the caller writes the row
// that makes the image visible; then Keep takes the name under incoming away, or
// Drop takes both. So what a crash leaves undecided always has its name under
// incoming, and Settle looks there and nowhere else: if the row is there, the
// image stays; if not, nothing of it stays. The folder must lie on a file system
// with hard links.
//
// A store does not check the bytes that it gives back: the row has their digest,
// and the reader compares.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/zeromicro/go-zero/core/logx"
)

const incoming = "incoming"

var (
	// ErrBusy says that as many uploads as allowed are under way.
	ErrBusy = errors.New("blob: too many uploads are under way")

	// ErrMissing says that an image's file is not where it should be.
	ErrMissing = errors.New("blob: the image's file is missing")
)

// IsFull tells whether the disk, or the quota on it, has no room for the bytes.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// Store is one folder of images. Its methods may be called from many goroutines.
type Store struct {
	root *os.Root
	lock *os.File
	max  int // Uploads at once.
	free func(folder *os.File) (uint64, error)

	mu       sync.Mutex
	underWay map[string]bool // Uploads that are being written, by id.
}

// Open opens the folder, and makes it where it is missing, readable by this user
// alone. It fails if another process holds it. At most maxUploads uploads may be
// under way at once.
func Open(dir string, maxUploads int) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{root: root, max: maxUploads, free: freeBytes, underWay: map[string]bool{}}
	if err := s.prepare(dir); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) prepare(dir string) error {
	var err error
	if s.lock, err = s.root.OpenFile("lock", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	// The kernel lets go of it when the process dies.
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another process works in %s; stop it or take another folder: %w", dir, err)
	}
	folders := []string{incoming}
	for i := range 256 {
		folders = append(folders, fmt.Sprintf("%02x", i))
	}
	for _, folder := range folders {
		if err := s.root.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return errors.Join(s.sync("."), parent.Sync(), parent.Close())
}

// Close lets go of the folder.
func (s *Store) Close() error {
	var err error
	if s.lock != nil {
		err = s.lock.Close()
	}
	return errors.Join(err, s.root.Close())
}

func under(folder, id string) string { return folder + "/" + id }

// place is where an image lies. The last digits of a UUID are random, its first
// are the time.
func place(id string) string { return under(id[max(0, len(id)-2):], id) }

// Read opens an image's file; ErrMissing if there is none.
func (s *Store) Read(id string) (*os.File, error) {
	if uuid.Validate(id) != nil { // No other name was made here.
		return nil, ErrMissing
	}
	f, err := s.root.Open(place(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrMissing
	}
	return f, err
}

// Create begins an upload. size is what the caller declares, in bytes, or 0: if
// the disk has less room, an error that IsFull; ErrBusy if too many uploads are
// under way. The upload must be closed.
func (s *Store) Create(size uint64) (*Upload, error) {
	if err := s.room(size); err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	u := &Upload{store: s, id: id.String()}
	if !s.begin(u.id) {
		return nil, ErrBusy
	}
	if u.file, err = s.root.OpenFile(under(incoming, u.id), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		s.end(u.id)
		return nil, err
	}
	u.digest = newDigest()
	return u, nil
}

func (s *Store) room(size uint64) error {
	if size == 0 {
		return nil
	}
	free, err := s.free(s.lock)
	if err != nil {
		return fmt.Errorf("ask for the free space: %w", err)
	}
	if size > free {
		return fmt.Errorf("blob: %d bytes are free: %w", free, syscall.ENOSPC)
	}
	return nil
}

func (s *Store) begin(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.underWay) >= s.max {
		return false
	}
	s.underWay[id] = true
	return true
}

func (s *Store) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.underWay, id)
}

func (s *Store) isUnderWay(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.underWay[id]
}

// sync makes the names in a folder durable.
func (s *Store) sync(folder string) error {
	f, err := s.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// remove is Remove of what may be gone already.
func (s *Store) remove(name string) error {
	if err := s.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Exists says whether an image's row is there. Its answer must know the outcome
// of every write that was begun before it was asked.
type Exists func(ctx context.Context, id string) (bool, error)

// Settle decides what lies under incoming and is not under way: uploads that a
// crash interrupted, and those whose row's outcome was unknown when they ended.
func (s *Store) Settle(ctx context.Context, exists Exists) error {
	names, err := fs.ReadDir(s.root.FS(), incoming)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range names {
		if id := entry.Name(); !s.isUnderWay(id) {
			errs = append(errs, s.settle(ctx, id, exists))
		}
	}
	return errors.Join(errs...)
}

func (s *Store) settle(ctx context.Context, id string, exists Exists) error {
	visible, err := exists(ctx, id)
	if err == nil && !visible {
		err = s.remove(place(id))
	}
	if err == nil {
		err = s.remove(under(incoming, id))
	}
	if err != nil {
		return fmt.Errorf("settle upload %s: %w", id, err)
	}
	return nil
}

// How often Settle runs, and how long once.
const (
	settleEvery  = 10 * time.Minute
	settleWithin = time.Minute
)

// KeepSettling runs Settle now and then in the background until the function
// that it returns is called, which waits for its end.
func (s *Store) KeepSettling(exists Exists) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(settleEvery)
		defer tick.Stop()
		for {
			round, end := context.WithTimeout(ctx, settleWithin)
			if err := s.Settle(round, exists); err != nil && ctx.Err() == nil {
				logx.Errorf("settle uploads: %v", err)
			}
			end()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() error {
		cancel()
		<-done
		return nil
	}
}
