package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/zeromicro/go-zero/core/logx"
)

// Fate is what the rows say of an upload.
type Fate int

// The fates of uploads.
const (
	Unknown Fate = iota // No row names it.
	Pending             // It may be gone on with.
	Ended               // It was given up, refused or found to be there already.
	Visible             // The image's row is there.
)

// Judge gives an upload's fate. Its answer must know the outcome of every write
// that this process began before it was asked.
type Judge func(ctx context.Context, id string) (Fate, error)

// leftOver is the file of an upload whose row's outcome is unknown, still locked.
type leftOver struct {
	file *os.File
	at   time.Time
}

func (s *Store) leave(id string, l leftOver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left[id] = l
}

// Settle decides what lies under incoming and is written by nobody alive: what a
// crash interrupted, what has ended, and what this process left. Several
// processes may settle at once.
func (s *Store) Settle(ctx context.Context, judge Judge) error {
	names, err := fs.ReadDir(s.root.FS(), incoming)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range names {
		if err := s.settle(ctx, entry.Name(), judge); err != nil {
			errs = append(errs, fmt.Errorf("settle upload %s: %w", entry.Name(), err))
		}
	}
	return errors.Join(errs...)
}

func (s *Store) settle(ctx context.Context, id string, judge Judge) error {
	f, err := s.reclaim(id)
	if f == nil {
		return err
	}
	fate, err := judge(ctx, id)
	if err == nil && fate == Unknown && s.rowMayCome(id) {
		fate = Pending
	}
	if err == nil {
		err = s.apply(id, fate)
	}
	if err != nil || fate == Pending {
		if s.keepsLeft(id, f) {
			return err
		}
	}
	s.forget(id)
	return errors.Join(err, f.Close())
}

// reclaim gives the locked file of an upload that nobody works on: one that this
// process left a while ago, or one whose lock is free. nil: leave it alone.
func (s *Store) reclaim(id string) (*os.File, error) {
	s.mu.Lock()
	l, left := s.left[id]
	s.mu.Unlock()
	if left {
		if time.Since(l.at) < s.young {
			return nil, nil
		}
		return l.file, nil
	}
	f, err := s.hold(id, os.O_RDWR)
	if errors.Is(err, ErrHeld) || errors.Is(err, ErrMissing) {
		return nil, nil
	}
	return f, err
}

// keepsLeft says whether the file is one that this process left and must hold on.
func (s *Store) keepsLeft(id string, f *os.File) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left[id].file == f
}

func (s *Store) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.left, id)
}

// rowMayCome says whether the upload was published so lately that the database
// may still commit its row for a process that has died.
func (s *Store) rowMayCome(id string) bool {
	if uuid.Validate(id) != nil {
		return false
	}
	info, err := s.root.Stat(place(id))
	return err == nil && time.Since(changed(info)) < s.young
}

func (s *Store) apply(id string, fate Fate) error {
	switch fate {
	case Pending:
		return nil
	case Visible:
		return s.remove(under(incoming, id))
	}
	return s.removeAll(id)
}

// removeAll removes an upload, in this order: see the package comment.
func (s *Store) removeAll(id string) error {
	if err := s.remove(place(id)); err != nil {
		return err
	}
	return s.remove(under(incoming, id))
}

// Discard removes the bytes of an upload that has ended by its row, unless a
// stream holds them still: then Settle will.
func (s *Store) Discard(id string) error {
	if uuid.Validate(id) != nil {
		return nil
	}
	f, err := s.hold(id, os.O_RDWR)
	if errors.Is(err, ErrHeld) || errors.Is(err, ErrMissing) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(s.apply(id, Ended), f.Close())
}

// How often Settle runs, and how long once.
const (
	settleEvery  = time.Minute
	settleWithin = time.Minute
)

// KeepSettling runs Settle now and then in the background until the function
// that it returns is called, which waits for its end.
func (s *Store) KeepSettling(judge Judge) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(settleEvery)
		defer tick.Stop()
		for {
			round, end := context.WithTimeout(ctx, settleWithin)
			if err := s.Settle(round, judge); err != nil && ctx.Err() == nil {
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
