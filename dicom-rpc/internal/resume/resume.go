// Package resume carries uploads over cuts, crashes and changes of process. A
// Session is one stream's hold on an upload: it writes the bytes, and commits
// them as they come, first to the disk and then to the upload's row, so that what
// the row says is never ahead of what a power cut leaves.
//
// Who may write is settled twice. The row has an epoch, which every new stream
// raises when it takes the upload over at the committed offset; whatever an older
// stream still wants to write to the row finds another epoch there and fails. The
// file has a lock, which an older stream holds until it has ended. It is told to
// end at once in the same process; in another process it notices within a second
// that the epoch is no longer its own.
package resume

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"clinsource/dicom-rpc/internal/blob"
	"clinsource/dicom-rpc/internal/store"
	"clinsource/internal/fault"
	"clinsource/internal/safely"
)

// Limits of uploads that may be gone on with.
type Limits struct {
	store.Bounds
	Expiry time.Duration // An open upload without progress ends after this.
	Keep   time.Duration // How long it is still told how an upload ended.
}

// Uploads is what this process does with uploads.
type Uploads struct {
	store  *store.Store
	images *blob.Store
	limits Limits

	// Now gives the time; a test puts its own clock here.
	Now func() time.Time

	mu   sync.Mutex
	live map[string]*Session // By upload, the newest.
}

// New makes it on the rows and the files.
func New(rows *store.Store, images *blob.Store, limits Limits) *Uploads {
	return &Uploads{store: rows, images: images, limits: limits, Now: time.Now, live: map[string]*Session{}}
}

// Limits gives the limits.
func (u *Uploads) Limits() Limits { return u.limits }

// Room tells whether the disk has room for size more bytes beside those that the
// open uploads are still to bring.
func (u *Uploads) Room(ctx context.Context, size uint64) error {
	if size == 0 {
		return nil
	}
	_, promised, err := u.store.OpenUploads(ctx)
	if err != nil {
		return err
	}
	return u.images.Room(size + uint64(max(0, promised)))
}

// Take makes the caller the newest stream of the actor's upload, at its committed
// offset. Where the upload has ended, or the offset is wrong (store.ErrOffset),
// there is no session but the upload as it is. The session must be closed; it
// outlives ctx.
func (u *Uploads) Take(ctx context.Context, actor, id string, at int64) (*Session, *store.Upload, error) {
	row, err := u.claim(ctx, actor, id, at)
	if err != nil || row.Ended() {
		return nil, row, err
	}
	s := newSession(ctx, u, row)
	replaces, newest := u.register(s)
	if !newest {
		s.cancel(store.ErrTakenOver)
		return nil, row, store.ErrTakenOver
	}
	if s.file, err = u.images.Resume(s.ctx, id, at, row.HashState, replaces); err != nil {
		u.unregister(s)
		s.cancel(err)
		close(s.ended)
		return nil, row, err
	}
	if at > 0 {
		resumed.Inc()
	}
	go s.keep()
	return s, row, nil
}

func (u *Uploads) claim(ctx context.Context, actor, id string, at int64) (*store.Upload, error) {
	ctx, cancel := context.WithTimeout(ctx, claimWithin)
	defer cancel()
	return u.store.ClaimUpload(ctx, actor, id, at, u.Now())
}

// register makes s the upload's session here and ends the one before; it is not
// the newest if another has claimed the upload since.
func (u *Uploads) register(s *Session) (replaces, newest bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	old := u.live[s.row.ID]
	if old != nil && old.row.Epoch > s.row.Epoch {
		return false, false
	}
	if old != nil {
		old.cancel(store.ErrTakenOver)
		takeovers.Inc()
	} else {
		streams.Inc()
	}
	u.live[s.row.ID] = s
	return old != nil, true
}

func (u *Uploads) unregister(s *Session) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.live[s.row.ID] == s {
		delete(u.live, s.row.ID)
		streams.Dec()
	}
}

// Abandon ends the stream of an upload that has ended by its row, if it is one of
// this process, and removes the bytes.
func (u *Uploads) Abandon(id string) error {
	u.mu.Lock()
	if s := u.live[id]; s != nil {
		s.cancel(store.ErrTakenOver)
	}
	u.mu.Unlock()
	return u.images.Discard(id)
}

const (
	claimWithin  = 10 * time.Second
	endingWithin = 2 * time.Second
	stopWithin   = 3 * time.Second
)

// How often other processes' claims are looked for, and what has ended.
const (
	watchEvery  = 700 * time.Millisecond
	tidyEvery   = 10 * time.Second
	roundWithin = 10 * time.Second
)

// Watch ends the sessions whose upload another process has taken over, once.
func (u *Uploads) Watch(ctx context.Context) error {
	sessions := u.sessions() // Before the question: the upload of one that comes later may not be in its answer.
	if len(sessions) == 0 {
		return nil
	}
	epochs, err := u.store.OpenEpochs(ctx)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		epoch, open := epochs[s.row.ID]
		switch {
		case open && epoch > s.row.Epoch:
			takeovers.Inc()
			s.cancel(store.ErrTakenOver)
		case !open && !s.ending.Load(): // Given up or expired elsewhere; one that ends has its own say.
			s.cancel(store.ErrTakenOver)
		}
	}
	return nil
}

func (u *Uploads) sessions() []*Session {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Collect(maps.Values(u.live))
}

// Ending waits a moment for a stream of this process that is just committing its
// last bytes, so that whoever asks where to go on hears of all of them.
func (u *Uploads) Ending(ctx context.Context, id string) {
	u.mu.Lock()
	s := u.live[id]
	u.mu.Unlock()
	if s == nil || !s.ending.Load() {
		return
	}
	timer := time.NewTimer(endingWithin)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-ctx.Done():
	case <-timer.C:
	}
}

// stop ends all sessions, but for those that are storing their whole file, and
// waits a moment until each has committed what came.
func (u *Uploads) stop() {
	sessions := u.sessions()
	for _, s := range sessions {
		if s.ending.Load() {
			continue
		}
		s.cancel(fault.Unavailable(fault.ReasonUnavailable, "the service is stopping; ask GetUpload and go on from its offset", time.Second))
	}
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	for _, s := range sessions {
		select {
		case <-s.ended:
		case <-timer.C:
			return
		}
	}
}

// Tidy ends what has expired, forgets what ended long ago, and counts, once.
func (u *Uploads) Tidy(ctx context.Context) error {
	now := u.Now()
	ids, err := u.store.ExpireUploads(ctx, now)
	if err != nil {
		return err
	}
	expired.Add(float64(len(ids)))
	var errs []error
	for _, id := range ids {
		errs = append(errs, u.Abandon(id))
	}
	errs = append(errs, u.store.PurgeUploads(ctx, now.Add(-u.limits.Keep)))
	open, missing, err := u.store.OpenUploads(ctx)
	if err == nil {
		openUploads.Set(float64(open))
		openBytes.Set(float64(missing))
	}
	return errors.Join(append(errs, err)...)
}

// KeepTidy runs Watch and Tidy now and then in the background until the function
// that it returns is called, which waits for their end and ends the sessions.
func (u *Uploads) KeepTidy() (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	loops.Go(func() { every(ctx, watchEvery, "watch uploads", u.Watch) })
	loops.Go(func() { every(ctx, tidyEvery, "tidy uploads", u.Tidy) })
	return func() error {
		cancel()
		loops.Wait()
		u.stop()
		return nil
	}
}

func every(ctx context.Context, d time.Duration, what string, do func(context.Context) error) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		round, end := context.WithTimeout(ctx, roundWithin)
		_, err := safely.Do(round, func() (struct{}, error) { return struct{}{}, do(round) })
		end()
		if err != nil && ctx.Err() == nil {
			logx.Errorf("%s: %v", what, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
