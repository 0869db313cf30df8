package sqldb

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Write runs f in a transaction that it may share with others, and returns nil
// once the transaction is committed and synced. The package comment says what f
// may do. keys name what f reads and then writes on the strength of what it read
// ([Key]). Any other answer is one of:
//   - the error of f, or a [*PanicError]: nothing of f was kept;
//   - [ErrBusy], [ErrClosed], [ErrNoDeadline]: f was not run;
//   - ctx.Err(): ctx ended before f was run, or f gave that error;
//   - [ErrAway]: the database could not be reached; nothing of f was kept;
//   - [ErrOutcomeUnknown] together with ctx.Err() or the engine's error: f may
//     or may not be committed, and may still run: leave the variables alone
//     that it assigns;
//   - an engine error (see [IsFull]) when BEGIN or COMMIT failed: nothing was
//     kept, unless it says ErrOutcomeUnknown as well.
func (db *DB) Write(ctx context.Context, f func(tx *Tx) error, keys ...string) error {
	return observeWrite(ctx, db.cfg.Name, func(ctx context.Context) error { return db.write(ctx, f, keys) })
}

func (db *DB) write(ctx context.Context, f func(tx *Tx) error, keys []string) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	c := &call{ctx: ctx, f: f, keys: keys, done: make(chan error, 1)}
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
	if db.queue.remove(c) || c.leave() {
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

// Key makes the name of something that only one write function at a time may work
// on, in this process and every other on the same database: a site's counts, a
// subject's entry. Functions that share a key run in the order of their Writes,
// and each sees what the one before committed. A function without a key may run
// beside any other, so it may insert, and rely on constraints, but must not write
// what it computed from rows that others change.
func Key(parts ...string) string { return strings.Join(parts, "\x00") }

func checkContext(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		return ErrNoDeadline
	}
	return ctx.Err()
}
