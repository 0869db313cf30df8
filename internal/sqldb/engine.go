package sqldb

import (
	"context"
	"database/sql"
	"errors"
)

// engine is what differs between databases: how to connect, and what an error
// means. sqlite.go and postgres.go are the two that there are.
type engine interface {
	// session gives a connection that can write, for one writer.
	session(ctx context.Context) (session, error)
	// query runs a statement on a connection that cannot write.
	query(ctx context.Context, query string, args []any) (cursor, error)
	// close closes the readers; the sessions were closed before.
	close() error
}

// session is the connection of one writer. Its methods are called by that
// writer's goroutine alone.
type session interface {
	// begin begins a transaction, connecting first if the connection was lost,
	// and waits until no other process holds one of the keys.
	begin(keys []string) error
	// exec and query run a function's statement in the transaction. Whether ctx
	// ends a statement that writes is the engine's choice.
	exec(ctx context.Context, query string, args []any) (sql.Result, error)
	query(ctx context.Context, query string, args []any) (cursor, error)
	// control runs SAVEPOINT f, ROLLBACK TO f, RELEASE f or ROLLBACK.
	control(statement string) error
	// commit fails with ErrOutcomeUnknown beside the cause where it may have
	// taken effect all the same.
	commit() error
	// lane numbers what this session appends to and nobody else does: see Lane.
	lane() int64
	close() error
}

// ErrAway says that the database does not answer or cannot take the statement
// now; nothing was kept. It is over when the database is back: send again.
var ErrAway = errors.New("sqldb: the database is away; nothing was kept, send again")

// IsUnique tells whether a UNIQUE or PRIMARY KEY constraint refused the row.
func IsUnique(err error) bool { return sqliteIsUnique(err) || postgresIsUnique(err) }

// IsFull tells whether the disk is full or failed. The way out is the
// operator's: free space, or replace the disk; resending is safe.
func IsFull(err error) bool { return sqliteIsFull(err) || postgresIsFull(err) }

// isConstraint tells a row that a constraint refused, at the latest at COMMIT.
func isConstraint(err error) bool { return sqliteIsConstraint(err) || postgresIsConstraint(err) }

// isPassing tells failures that are nobody's fault and gone when the same
// functions run once more: a deadlock, a lost connection. SQLite has none.
func isPassing(err error) bool { return postgresIsPassing(err) }
