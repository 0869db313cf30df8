// Package blob keeps the bytes of images: one file an image on the local disk,
// named by the image's id, which is made here; nothing that a caller or a file
// says is ever part of a path.
//
//	ImageDir/
//	  lock          held, shared, by every process that works here
//	  incoming/ID   an upload, from its first byte until it is decided
//	  3f/ID         an image; 3f are the last two digits of its id
//
// An upload is written under incoming, by whoever holds the lock (flock) of that
// one file: several processes may share the folder, and never write one file at
// once. The kernel lets go of a lock when its process dies. Publish makes the
// bytes durable and links the file to its place as a second name; then the
// caller writes the row that makes the image visible; then Keep takes the name
// under incoming away, or Drop takes both. So what a crash leaves undecided
// always has its name under incoming, and Settle looks there and nowhere else:
// if the row is there, the image stays; if an upload that may go on is, all
// stays; if neither, nothing of it stays. The folder must lie on a file system
// with hard links and locks that all its processes see.
//
// A store does not check the bytes that it gives back: the row has their digest,
// and the reader compares.
package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

const incoming = "incoming"

var (
	// ErrBusy says that as many uploads as allowed are under way.
	ErrBusy = errors.New("blob: too many uploads are under way")

	// ErrMissing says that an image's or an upload's file is not where it should
	// be, or lacks bytes that were synced.
	ErrMissing = errors.New("blob: the file is missing")

	// ErrHeld says that another stream or process still holds the upload's file.
	ErrHeld = errors.New("blob: somebody else still writes this upload")
)

// IsFull tells whether the disk, or the quota on it, has no room for the bytes.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// Store is one folder of images. Its methods may be called from many goroutines.
type Store struct {
	root  *os.Root
	lock  *os.File
	max   int // Uploads at once in this process.
	free  func(folder *os.File) (uint64, error)
	young time.Duration // How long a published file may wait for its row.

	mu      sync.Mutex
	streams int                 // Uploads that are being written here.
	left    map[string]leftOver // Those whose row's outcome was unknown, still locked.
}

// rowWithin is how long after Publish, or after its outcome became unknown, a row
// may still appear: longer than any write is let run.
const rowWithin = time.Minute

// Open opens the folder, and makes it where it is missing, readable by this user
// alone. At most maxUploads uploads may be under way at once in this process.
func Open(dir string, maxUploads int) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{root: root, max: maxUploads, free: freeBytes, young: rowWithin, left: map[string]leftOver{}}
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
	// Shared: a version of before, which takes it alone, would settle our uploads.
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("a process of an older version works in %s; stop it or take another folder: %w", dir, err)
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

// Close lets go of the folder, and of the uploads that were left.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, l := range s.left {
		errs = append(errs, l.file.Close())
	}
	clear(s.left)
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(append(errs, s.root.Close())...)
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

// Room tells whether the disk has room for this many bytes; if not, the error is
// one that IsFull.
func (s *Store) Room(size uint64) error {
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

// begin takes one of the places for uploads at once.
func (s *Store) begin(anyway bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams >= s.max && !anyway {
		return false
	}
	s.streams++
	return true
}

func (s *Store) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams--
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
