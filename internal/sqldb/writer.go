package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// writer is the one goroutine that writes, on the one connection that can.
type writer struct {
	ctx     context.Context // of the connection, never cancelled: see Tx
	pool    *sql.DB
	conn    *sql.Conn
	stmts   *statements
	queue   *queue
	batch   int
	stopped chan struct{}

	commit  func() error // tests put themselves before, after or in place of it
	size    prometheus.Observer
	seconds prometheus.Observer
}

func newWriter(ctx context.Context, cfg Config, pool *sql.DB, q *queue) (*writer, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("take the writer connection: %w", err)
	}
	w := &writer{
		ctx:     context.WithoutCancel(ctx),
		pool:    pool,
		conn:    conn,
		stmts:   newStatements(conn),
		queue:   q,
		batch:   cfg.Batch,
		stopped: make(chan struct{}),
		size:    commitSize.WithLabelValues(cfg.Name),
		seconds: commitSeconds.WithLabelValues(cfg.Name),
	}
	w.commit = func() error { return w.exec("COMMIT") }
	return w, nil
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
		for _, c := range batch {
			c.done <- c.err
		}
		clear(batch) // an idle writer holds no caller's memory
	}
}

// settle leaves each call's outcome in call.err. The first attempt bets that no
// function fails after it has written, which saves a SAVEPOINT per function (a
// tenth of the throughput, measured); the second puts them in; the last gives
// each function its own transaction, for what a savepoint does not contain: a
// deferred constraint, or an error that ended the transaction itself.
func (w *writer) settle(batch []*call) {
	if w.attempt(batch, false) {
		return
	}
	if len(batch) > 1 && w.attempt(batch, true) {
		return
	}
	for i := range batch {
		w.attempt(batch[i:i+1], false)
	}
}

// attempt runs the batch in one transaction. False means that nothing was kept
// and the calls must be run again, more apart; a batch of one is always settled.
func (w *writer) attempt(batch []*call, guarded bool) (settled bool) {
	start := time.Now()
	if err := w.exec(begin); err != nil {
		w.rollback() // were one left open, the next batch must not find it
		return settleAll(batch, fmt.Errorf("begin: %w", err))
	}
	kept, ok := w.runAll(batch, guarded)
	if !ok {
		w.rollback()
		return false
	}
	if kept == 0 {
		w.rollback()
		return true
	}
	if err := w.commit(); err != nil {
		w.rollback()
		if len(batch) > 1 && isConstraint(err) {
			return false
		}
		return settleAll(batch, commitError(err))
	}
	w.size.Observe(float64(kept))
	w.seconds.Observe(time.Since(start).Seconds())
	return true
}

// runAll runs every function and counts those whose work stands. It is not ok
// when work was done that only a rollback of the whole transaction undoes.
func (w *writer) runAll(batch []*call, guarded bool) (kept int, ok bool) {
	for _, c := range batch {
		if c.err = c.ctx.Err(); c.err != nil {
			continue // it left before its turn
		}
		if guarded && w.exec("SAVEPOINT f") != nil {
			return 0, false
		}
		var clean bool
		clean, c.err = w.call(c)
		switch {
		case c.err == nil:
			kept++
		case clean, len(batch) == 1: // alone, its rollback is the transaction's
		case !guarded || w.exec("ROLLBACK TO f") != nil:
			return 0, false
		}
		if guarded && w.exec("RELEASE f") != nil {
			return 0, false
		}
	}
	return kept, true
}

// call runs one function. clean says that it left no trace in the transaction.
func (w *writer) call(c *call) (clean bool, err error) {
	tx := &Tx{w: w}
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
		tx.end()
		if err == nil {
			err = tx.failed // swallowed by the function, but its work is not whole
		}
		clean = !tx.wrote && tx.failed == nil
	}()
	return false, c.f(tx)
}

// settleAll gives everyone the same answer, the functions that failed included:
// what they failed on may have been a neighbour's row that is not kept.
func settleAll(batch []*call, err error) (settled bool) {
	for _, c := range batch {
		c.err = err
	}
	return true
}

func (w *writer) exec(query string) error {
	_, err := w.stmts.exec(w.ctx, query, nil)
	return err
}

// rollback has no error to report: an open transaction always rolls back, and
// "no transaction is active" is what was wanted.
func (w *writer) rollback() { _ = w.exec("ROLLBACK") }

// PanicError is the answer to a caller whose write function panicked. Its text
// is safe to pass on; Value and Stack belong in the log at most.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return "sqldb: the write function panicked" }
