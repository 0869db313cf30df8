package blob

import (
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// Waiting for a file that somebody else still writes: an older stream of the same
// upload, which has been told to end.
const (
	heldWithin = 5 * time.Second
	heldEvery  = 20 * time.Millisecond
)

// Create begins an upload of one stream. ErrBusy if too many uploads are under
// way. The upload must be closed.
func (s *Store) Create() (*Upload, error) {
	if !s.begin(false) {
		return nil, ErrBusy
	}
	u := &Upload{store: s, digest: newDigest()}
	if err := u.create(); err != nil {
		s.end()
		return nil, err
	}
	return u, nil
}

func (u *Upload) create() error {
	// Whoever settles may see the file before it is locked, and remove it as
	// nobody's: then another.
	err := ErrHeld
	for try := 0; errors.Is(err, ErrHeld) && try < 10; try++ {
		var id uuid.UUID
		if id, err = uuid.NewV7(); err != nil {
			return err
		}
		u.id = id.String()
		u.file, err = u.store.hold(u.id, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	}
	return err
}

// Resume goes on with an upload of several streams at byte at, which were synced
// by a stream before, with the state that the digest had there (Snapshot); what
// lies behind is cut off. Whoever still holds the file is waited for, 5 s at
// most: then ErrHeld. ErrMissing: the synced bytes are not there. ErrBusy as
// Create, but for a stream that replaces one of this process. Closing the upload
// keeps its bytes.
func (s *Store) Resume(ctx context.Context, id string, at int64, digest string, replaces bool) (*Upload, error) {
	if uuid.Validate(id) != nil {
		return nil, ErrMissing
	}
	if !s.begin(replaces) {
		return nil, ErrBusy
	}
	u := &Upload{store: s, id: id, resumable: true}
	err := u.resume(ctx, at, digest)
	if err != nil {
		s.end()
		return nil, err
	}
	return u, nil
}

func (u *Upload) resume(ctx context.Context, at int64, digest string) error {
	flags := os.O_RDWR
	if at == 0 {
		flags |= os.O_CREATE
	}
	var err error
	if u.file, err = u.store.wait(ctx, u.id, flags); err != nil {
		return err
	}
	if err := u.goOn(ctx, at, digest); err != nil {
		return errors.Join(err, u.file.Close())
	}
	return nil
}

func (u *Upload) goOn(ctx context.Context, at int64, digest string) error {
	info, err := u.file.Stat()
	switch {
	case err != nil:
		return err
	case info.Size() < at:
		return fmt.Errorf("%w: %d bytes are there of %d that were synced", ErrMissing, info.Size(), at)
	case info.Size() > at:
		if err := u.file.Truncate(at); err != nil {
			return err
		}
	case at == 0: // A new file: its name must last as long as the bytes.
		if err := u.store.sync(incoming); err != nil {
			return err
		}
	}
	if u.digest, err = digestAt(ctx, u.file, at, digest); err != nil {
		return err
	}
	u.size, u.begun = at, at
	_, err = u.file.Seek(at, io.SeekStart)
	return err
}

// digestAt makes the digest of the first bytes: from its state, or where that is
// of another make (a newer Go, say) from the bytes themselves.
func digestAt(ctx context.Context, f io.ReaderAt, at int64, state string) (hash.Hash, error) {
	digest := newDigest()
	if at == 0 {
		return digest, nil
	}
	if raw, err := hex.DecodeString(state); err == nil && digest.(encoding.BinaryUnmarshaler).UnmarshalBinary(raw) == nil {
		return digest, nil
	}
	digest.Reset()
	_, err := io.Copy(digest, readerUntil{ctx, io.NewSectionReader(f, 0, at)})
	return digest, err
}

// readerUntil reads until its context ends.
type readerUntil struct {
	ctx context.Context
	r   io.Reader
}

func (r readerUntil) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// wait is hold, again and again for a while.
func (s *Store) wait(ctx context.Context, id string, flags int) (*os.File, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, heldWithin, ErrHeld)
	defer cancel()
	tick := time.NewTicker(heldEvery)
	defer tick.Stop()
	for {
		f, err := s.hold(id, flags)
		if !errors.Is(err, ErrHeld) {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// hold opens an upload's file and locks it; the lock goes with the open file.
// ErrHeld if somebody else has it, ErrMissing if it is not there.
func (s *Store) hold(id string, flags int) (*os.File, error) {
	f, err := s.root.OpenFile(under(incoming, id), flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) && flags&os.O_CREATE == 0 {
		return nil, ErrMissing
	}
	if err != nil {
		return nil, err
	}
	if err := s.locked(f, id); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (s *Store) locked(f *os.File, id string) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrHeld
	}
	if err != nil {
		return err
	}
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	// Whoever held it before may have removed it.
	named, err := s.root.Stat(under(incoming, id))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, named) {
		return ErrHeld // Another round finds what is there now.
	}
	return err
}

func newDigest() hash.Hash { return sha256.New() }
