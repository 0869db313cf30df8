package sqldb

import (
	"context"
	"fmt"
	"time"
)

// Write runs f in a transaction that it may share with others, and returns nil
// once the transaction is committed and synced. The package comment says what f
// may do. Any other answer is one of:
//   - the error of f, or a [*PanicError]: nothing of f was kept;
//   - [ErrBusy], [ErrClosed], [ErrNoDeadline]: f was not run;
//   - ctx.Err(): ctx ended before f was run, or f gave that error;
//   - [ErrOutcomeUnknown] together with ctx.Err() or the engine's error: f may
//     or may not be committed, and may still run: leave the variables alone
//     that it assigns;
//   - an engine error (see [IsFull]) when BEGIN or COMMIT failed: nothing was
//     kept, unless it says ErrOutcomeUnknown as well.
func (db *DB) Write(ctx context.Context, f func(tx *Tx) error) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	c := &call{ctx: ctx, f: f, done: make(chan error, 1)}
	if err := db.queue.push(c); err != nil {
		return err
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return db.leave(ctx, c)
	}
}

// leave answers a caller whose context has ended. What has not been started is
// taken back; what has been usually ends within milliseconds, and the true
// outcome is worth that wait.
func (db *DB) leave(ctx context.Context, c *call) error {
	if db.queue.remove(c) {
		return ctx.Err()
	}
	timer := time.NewTimer(db.cfg.Grace)
	defer timer.Stop()
	select {
	case err := <-c.done:
		return err
	case <-timer.C:
		return fmt.Errorf("%w (%w)", ErrOutcomeUnknown, ctx.Err())
	}
}

func checkContext(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		return ErrNoDeadline
	}
	return ctx.Err()
}
