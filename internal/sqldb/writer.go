package sqldb

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// writer is a goroutine that writes, on a connection of its own. SQLite has one,
// PostgreSQL a few.
type writer struct {
	on      session
	queue   *queue
	batch   int
	stopped chan struct{}

	lane Lane

	commit  func() error // tests put themselves before, after or in place of it
	size    prometheus.Observer
	seconds prometheus.Observer
}

func newWriter(cfg Config, on session, q *queue) *writer {
	return &writer{
		on:      on,
		queue:   q,
		batch:   cfg.Batch,
		stopped: make(chan struct{}),
		commit:  on.commit,
		size:    commitSize.WithLabelValues(cfg.Name),
		seconds: commitSeconds.WithLabelValues(cfg.Name),
	}
}

func (w *writer) run() {
	defer close(w.stopped)
	var batch []*call
	for {
		batch = w.queue.take(batch, w.batch)
		if len(batch) == 0 {
			return
		}
		w.settle(batch)
		w.queue.settled(batch)
		for _, c := range batch {
			c.done <- c.err
		}
		clear(batch) // an idle writer holds no caller's memory
	}
}

// How often functions are run again because of something that passes, together
// and each alone.
const (
	againTogether = 2
	againAlone    = 6
)

// settle leaves each call's outcome in call.err. The first attempt bets that no
// function fails after it has written, which saves a SAVEPOINT per function (a
// tenth of the throughput, measured); the second puts them in; the last gives
// each function its own transaction, for what a savepoint does not contain: a
// deferred constraint, an error that ended the transaction itself, or two
// batches in each other's way.
func (w *writer) settle(batch []*call) {
	if w.attempts(batch, false, againTogether) {
		return
	}
	if len(batch) > 1 && w.attempts(batch, true, againTogether) {
		return
	}
	for i := range batch {
		w.attempts(batch[i:i+1], false, againAlone)
	}
}

// attempts is attempt, again for as long as what failed is passing.
func (w *writer) attempts(batch []*call, guarded bool, most int) (settled bool) {
	for n := 0; ; n++ {
		v := w.attempt(batch, guarded)
		if v != again {
			return v == settledAll
		}
		if n == most {
			return len(batch) == 1 // whose call.err says what is in the way
		}
		<-time.After(rand.N(time.Millisecond << n)) // out of step with whom it met; at most 64 ms, which a stop can wait
	}
}

// verdict is what an attempt came to.
type verdict int

const (
	settledAll verdict = iota
	apart              // nothing was kept; run the functions more apart
	again              // nothing was kept, by something that passes
)

// attempt runs the batch in one transaction. A batch of one is settled or to be
// run again.
func (w *writer) attempt(batch []*call, guarded bool) verdict {
	start := time.Now()
	if err := w.on.begin(keysOf(batch)); err != nil {
		w.rollback() // were one left open, the next batch must not find it
		settleAll(batch, fmt.Errorf("begin: %w", err))
		if isPassing(err) {
			return again
		}
		return settledAll
	}
	w.lane = Lane{Number: w.on.lane(), Next: -1}
	kept, v := w.runAll(batch, guarded)
	if v != settledAll {
		w.rollback()
		return v
	}
	if kept == 0 {
		w.rollback()
		return settledAll
	}
	if err := w.commit(); err != nil {
		w.rollback()
		settleAll(batch, fmt.Errorf("commit: %w", err))
		switch {
		case isPassing(err):
			return again
		case len(batch) > 1 && isConstraint(err):
			return apart
		}
		return settledAll
	}
	w.size.Observe(float64(kept))
	w.seconds.Observe(time.Since(start).Seconds())
	return settledAll
}

// runAll runs every function and counts those whose work stands. It is settled
// unless work was done that only a rollback of the whole transaction undoes.
func (w *writer) runAll(batch []*call, guarded bool) (kept int, v verdict) {
	for _, c := range batch {
		if c.err = c.ctx.Err(); c.err != nil || !c.start() {
			continue // it left before its turn
		}
		if guarded {
			if err := w.on.control("SAVEPOINT f"); err != nil {
				return 0, w.broken(batch, err)
			}
		}
		var tx *Tx
		tx, c.err = w.call(c)
		switch {
		case c.err == nil:
			kept++
		case isPassing(tx.failed):
			return 0, w.broken(batch, tx.failed)
		case tx.isClean(), len(batch) == 1: // alone, its rollback is the transaction's
		case !guarded:
			return 0, apart
		default:
			if err := w.on.control("ROLLBACK TO f"); err != nil {
				return 0, w.broken(batch, err)
			}
			w.lane.Next = -1
		}
		if guarded {
			if err := w.on.control("RELEASE f"); err != nil {
				return 0, w.broken(batch, err)
			}
		}
	}
	return kept, settledAll
}

// broken says how to go on after an error that ended the transaction.
func (w *writer) broken(batch []*call, err error) verdict {
	settleAll(batch, err)
	if isPassing(err) {
		return again
	}
	return apart
}

// call runs one function.
func (w *writer) call(c *call) (tx *Tx, err error) {
	tx = &Tx{on: w.on, lane: &w.lane}
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
		tx.end()
		if err == nil {
			err = tx.failed // swallowed by the function, but its work is not whole
		}
	}()
	return tx, c.f(tx)
}

// settleAll gives everyone the same answer, the functions that failed included:
// what they failed on may have been a neighbour's row that is not kept.
func settleAll(batch []*call, err error) {
	for _, c := range batch {
		c.err = err
	}
}

// keysOf gives the keys of a batch, each once and in one order for all writers.
func keysOf(batch []*call) []string {
	var keys []string
	for _, c := range batch {
		keys = append(keys, c.keys...)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// rollback has no error to report: an open transaction always rolls back, and
// "no transaction is active" is what was wanted.
func (w *writer) rollback() { _ = w.on.control("ROLLBACK") }

// PanicError is the answer to a caller whose write function panicked. Its text
// is safe to pass on; Value and Stack belong in the log at most.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return "sqldb: the write function panicked" }
