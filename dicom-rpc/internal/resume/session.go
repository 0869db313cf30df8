package resume

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"clinsource/dicom-rpc/internal/blob"
	"clinsource/dicom-rpc/internal/store"
	"clinsource/internal/safely"
	"clinsource/internal/sqldb"
)

// When bytes are committed while a stream goes on: after so many, or after a
// while if there are any. More often costs throughput, more rarely costs whoever
// is cut the sending of more bytes again.
const (
	commitBytes  = 8 << 20
	commitAfter  = 2 * time.Second
	commitLook   = 250 * time.Millisecond
	commitWithin = 15 * time.Second
)

// Session is one stream's hold on an upload. Write and what ends the session are
// for one goroutine.
type Session struct {
	uploads *Uploads
	file    *blob.Upload
	ctx     context.Context // The call's values, but not its end; its cause says who took over.
	cancel  context.CancelCauseFunc
	full    chan struct{} // Holds one token when commitBytes have come.
	stop    chan struct{} // Closed when the keeper is to end.
	stopped chan struct{} // Closed when it has.
	ending  atomic.Bool   // Nothing more will be written.
	ended   chan struct{} // Closed when the upload is let go of.
	pending int64         // Bytes written since full was told.

	mu     sync.Mutex // One commit at a time.
	row    *store.Upload
	failed error // Of a Sync: the file may not be trusted beyond what is committed.
}

func newSession(ctx context.Context, u *Uploads, row *store.Upload) *Session {
	s := &Session{uploads: u, row: row, full: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}), ended: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return s
}

// Context ends when the session is closed, another stream takes over or a commit
// fails, and not when the caller leaves.
func (s *Session) Context() context.Context { return s.ctx }

// File is what was received so far, for the judgement of the whole.
func (s *Session) File() *blob.Upload { return s.file }

// Upload is the upload's row as this session last wrote it.
func (s *Session) Upload() store.Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.row
}

// Write appends a chunk. After an error the session can only be closed; what is
// committed stays.
func (s *Session) Write(chunk []byte) error {
	if err := context.Cause(s.ctx); err != nil {
		return err
	}
	n, err := s.file.Write(chunk)
	receivedBytes.Add(float64(n))
	if s.pending += int64(n); s.pending >= commitBytes {
		s.pending = 0
		select {
		case s.full <- struct{}{}:
		default: // The disk is slower than the caller: the next commit takes all.
		}
	}
	return err
}

// keep commits while the stream goes on.
func (s *Session) keep() {
	defer close(s.stopped)
	tick := time.NewTicker(commitLook)
	defer tick.Stop()
	last := time.Now()
	for {
		due := false
		select {
		case <-s.stop:
			return
		case <-s.full:
			due = true
		case <-tick.C:
			due = time.Since(last) >= commitAfter
		}
		if !due {
			continue
		}
		last = time.Now()
		_, err := safely.Do(s.ctx, func() (struct{}, error) { return struct{}{}, s.commit() })
		if err != nil && !errors.Is(err, sqldb.ErrBusy) {
			s.cancel(err) // The stream ends; whoever takes over begins at what is committed.
			return
		}
	}
}

// commit makes what was written durable and then says so in the row. It goes on
// when the caller has left, for a bounded time.
func (s *Session) commit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	size, state, err := s.file.Snapshot()
	if err != nil || s.failed != nil || size == s.row.Committed {
		return errors.Join(err, s.failed)
	}
	if s.failed = s.file.Sync(); s.failed != nil {
		return s.failed
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), commitWithin)
	defer cancel()
	expires := s.uploads.Now().Add(s.uploads.limits.Expiry)
	if err := s.uploads.store.Advance(ctx, s.row, size, state, expires); err != nil {
		return err
	}
	committedBytes.Add(float64(size - s.row.Committed))
	s.row.Committed, s.row.HashState, s.row.Expires = size, state, expires
	return nil
}

// Commit ends the writing and commits what came; Upload says up to where.
func (s *Session) Commit() error {
	s.end()
	return s.commit()
}

// end stops the keeper.
func (s *Session) end() {
	if !s.ending.Swap(true) {
		close(s.stop)
	}
	<-s.stopped
}

// TakenOver says whether the upload is another stream's by now.
func (s *Session) TakenOver() bool { return errors.Is(context.Cause(s.ctx), store.ErrTakenOver) }

// Close lets go of the upload; its bytes stay, unless it was dropped or kept.
func (s *Session) Close() error {
	s.end()
	err := s.file.Close()
	s.uploads.unregister(s)
	s.cancel(context.Canceled)
	close(s.ended)
	return err
}
