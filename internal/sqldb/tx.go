package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

var errRowsOpen = errors.New("sqldb: close the rows of the statement before first")

// Tx is what a write function sees of its transaction. It is for that function
// and its goroutine alone, and of no use after the function has returned.
//
// A context that has ended stops a Tx before its next statement, and within one:
// on SQLite within a SELECT only, because SQLite answers an interrupted write by
// undoing the whole transaction, and the neighbours would pay.
//
// The first statement that fails ends the Tx: the others give its error, and the
// function counts as failed even if it returns nil. sql.ErrNoRows is no failure.
type Tx struct {
	on     session
	lane   *Lane
	rows   *Rows // the open ones
	wrote  bool
	failed error
	over   bool
}

// Exec runs a statement that returns no rows. Of the result only RowsAffected is
// portable. It fails with [ErrNoDeadline], with ctx.Err(), or with the engine's
// error (see [IsUnique]).
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := tx.ready(ctx, args); err != nil {
		return nil, err
	}
	tx.wrote = true
	result, err := tx.on.exec(ctx, query, args)
	if err != nil {
		return nil, tx.fail(err)
	}
	return result, nil
}

// Query runs a statement that returns rows: a SELECT, or a write with RETURNING.
// The rows must be closed before the next statement of this Tx.
func (tx *Tx) Query(ctx context.Context, query string, args ...any) (*Rows, error) {
	if err := tx.ready(ctx, args); err != nil {
		return nil, err
	}
	tx.wrote = tx.wrote || !isSelect(query)
	rows, err := tx.on.query(ctx, query, args)
	if err != nil {
		return nil, tx.fail(err)
	}
	tx.rows = &Rows{rows: rows, tx: tx}
	return tx.rows, nil
}

// QueryRow is Query for at most one row. Its error waits for Row.Scan.
func (tx *Tx) QueryRow(ctx context.Context, query string, args ...any) *Row {
	rows, err := tx.Query(ctx, query, args...)
	return &Row{rows: rows, err: err}
}

func (tx *Tx) ready(ctx context.Context, args []any) error {
	switch {
	case tx.over:
		return sql.ErrTxDone
	case tx.failed != nil:
		return fmt.Errorf("sqldb: an earlier statement of this write failed: %w", tx.failed)
	case tx.rows != nil:
		return tx.fail(errRowsOpen)
	}
	if err := checkContext(ctx); err != nil {
		return tx.fail(err)
	}
	if err := checkArgs(args); err != nil {
		return tx.fail(err)
	}
	return nil
}

func (tx *Tx) fail(err error) error {
	if tx.failed == nil {
		tx.failed = err
	}
	return err
}

// Lane is a sequence of rows that one connection alone appends to, so that the
// numbers of its rows have no gap and never meet another writer's: the first that
// is free, from 1. When the connection ends, the next one goes on with it.
type Lane struct {
	Number int64
	// Next is the number of the next row, once a function of this transaction has
	// read it from the database; -1 until then, and again after anything of the
	// transaction was undone.
	Next int64
}

// Lane gives the lane of the transaction's writer. Whoever appends a row counts
// Next on.
func (tx *Tx) Lane() *Lane { return tx.lane }

// isClean says that the function left no trace in the transaction.
func (tx *Tx) isClean() bool { return !tx.wrote && tx.failed == nil }

// end closes what the function left open and bars the Tx.
func (tx *Tx) end() {
	if tx.rows != nil {
		_ = tx.rows.Close()
	}
	tx.over = true
}
