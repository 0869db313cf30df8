package blob

import (
	"encoding"
	"encoding/hex"
	"errors"
	"hash"
	"io/fs"
	"os"
	"sync"
	"time"
)

// writebackEvery is how many bytes are written before the disk is told to begin
// with them. Without it the kernel keeps them all until Publish, which then waits
// for the whole file.
const writebackEvery = 8 << 20

// Upload is an image's file while it is being written, by one goroutine. Another
// may call Snapshot and Sync meanwhile.
type Upload struct {
	store     *Store
	id        string
	file      *os.File
	resumable bool // Its bytes outlive it.
	linked    bool
	ended     bool

	mu     sync.Mutex // What a Snapshot must see together.
	size   int64
	begun  int64 // Bytes that the disk was told to begin with.
	digest hash.Hash
}

// ID is the id of the image that this upload becomes.
func (u *Upload) ID() string { return u.id }

// Size is how many bytes were written.
func (u *Upload) Size() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.size
}

// Sum is the SHA-256 of what was written, 64 lower-case hex digits.
func (u *Upload) Sum() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return hex.EncodeToString(u.digest.Sum(nil))
}

// Write appends p. An error may be one that IsFull.
func (u *Upload) Write(p []byte) (int, error) {
	n, err := u.file.Write(p)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.digest.Write(p[:n])
	u.size += int64(n)
	if err == nil && u.size-u.begun >= writebackEvery {
		err = beginWriteback(u.file, u.begun, u.size-u.begun)
		u.begun = u.size
	}
	return n, err
}

// Snapshot gives how many bytes were written and the state of their digest, in
// hex, for Resume. Sync, called afterwards, makes at least these bytes durable.
func (u *Upload) Snapshot() (size int64, digest string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	state, err := u.digest.(encoding.BinaryMarshaler).MarshalBinary()
	return u.size, hex.EncodeToString(state), err
}

// Sync makes what was written before durable. After an error nothing that was
// written since the last Sync may be trusted: the kernel gives the pages up, and
// a second Sync would not know of them.
func (u *Upload) Sync() error { return u.file.Sync() }

// ReadAt reads what was written, for a look at it before it is published.
func (u *Upload) ReadAt(p []byte, off int64) (int, error) { return u.file.ReadAt(p, off) }

// Publish makes the bytes durable at the image's place. The image is not visible
// yet: its row decides.
func (u *Upload) Publish() error {
	// On Linux's journaling file systems this makes the new name durable as well.
	if err := u.file.Sync(); err != nil {
		return err
	}
	err := u.store.root.Link(under(incoming, u.id), place(u.id))
	if err != nil && !(u.resumable && errors.Is(err, fs.ErrExist)) { // A stream before may have come as far.
		return err
	}
	u.linked = true
	return u.store.sync(place(u.id)[:2])
}

// Keep ends the upload: the image's row is there.
func (u *Upload) Keep() error {
	return u.finish(func() error { return u.store.remove(under(incoming, u.id)) })
}

// Drop ends the upload and removes it: no row of this id is there or can come.
func (u *Upload) Drop() error {
	if u.ended {
		return nil
	}
	return u.finish(func() error { return u.store.removeAll(u.id) })
}

// Leave ends an upload of one stream while nobody knows whether its row is there:
// Settle will. Until then this process holds the file, so that no other settles
// what is still under way here.
func (u *Upload) Leave() error {
	u.ended = true
	u.store.leave(u.id, leftOver{file: u.file, at: time.Now()})
	u.store.end()
	return nil
}

// Close ends the upload, unless it has ended already. One that may be resumed
// stays, any other is removed.
func (u *Upload) Close() error {
	switch {
	case u.ended:
		return nil
	case u.resumable:
		return u.finish(func() error { return nil })
	case u.linked:
		return u.Drop()
	}
	return u.Keep() // Its only name.
}

// finish removes what must go while the file is still locked.
func (u *Upload) finish(remove func() error) error {
	u.ended = true
	err := errors.Join(remove(), u.file.Close())
	u.store.end()
	return err
}
