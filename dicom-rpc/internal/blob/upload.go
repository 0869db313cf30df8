package blob

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"os"
)

// writebackEvery is how many bytes are written before the disk is told to begin
// with them. Without it the kernel keeps them all until Publish, which then waits
// for the whole file.
const writebackEvery = 8 << 20

// Upload is an image's file while it is being written, by one goroutine.
type Upload struct {
	store  *Store
	id     string
	file   *os.File
	size   int64
	begun  int64 // Bytes that the disk was told to begin with.
	digest hash.Hash
	linked bool
	ended  bool
}

func newDigest() hash.Hash { return sha256.New() }

// ID is the id of the image that this upload becomes.
func (u *Upload) ID() string { return u.id }

// Size is how many bytes were written.
func (u *Upload) Size() int64 { return u.size }

// Sum is the SHA-256 of what was written, 64 lower-case hex digits.
func (u *Upload) Sum() string { return hex.EncodeToString(u.digest.Sum(nil)) }

// Write appends p. An error may be one that IsFull.
func (u *Upload) Write(p []byte) (int, error) {
	n, err := u.file.Write(p)
	u.digest.Write(p[:n])
	u.size += int64(n)
	if err == nil && u.size-u.begun >= writebackEvery {
		err = beginWriteback(u.file, u.begun, u.size-u.begun)
		u.begun = u.size
	}
	return n, err
}

// ReadAt reads what was written, for a look at it before it is published.
func (u *Upload) ReadAt(p []byte, off int64) (int, error) { return u.file.ReadAt(p, off) }

// Publish makes the bytes durable at the image's place. The image is not visible
// yet: its row decides.
func (u *Upload) Publish() error {
	// On Linux's journaling file systems this makes the new name durable as well.
	if err := u.file.Sync(); err != nil {
		return err
	}
	if err := u.store.root.Link(under(incoming, u.id), place(u.id)); err != nil {
		return err
	}
	u.linked = true
	return u.store.sync(place(u.id)[:2])
}

// Keep ends the upload: the image's row is there.
func (u *Upload) Keep() error {
	return u.finish(under(incoming, u.id))
}

// Leave ends the upload while nobody knows whether its row is there: Settle will.
func (u *Upload) Leave() error { return u.finish() }

// Close ends the upload and removes it, unless it has ended already.
func (u *Upload) Close() error {
	if u.ended {
		return nil
	}
	names := []string{under(incoming, u.id)}
	if u.linked {
		names = []string{place(u.id), under(incoming, u.id)} // In this order: see the package comment.
	}
	return u.finish(names...)
}

func (u *Upload) finish(remove ...string) error {
	u.ended = true
	errs := []error{u.file.Close()}
	for _, name := range remove {
		errs = append(errs, u.store.remove(name))
	}
	u.store.end(u.id)
	return errors.Join(errs...)
}
