package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What PostgreSQL's codes (SQLSTATE) are called here.
const (
	uniqueViolation = "23505"
	readOnly        = "25006" // the primary became a standby under us
	canceled        = "57014"
	notSupported    = "0A000"
	diskFull        = "53100"
	ioError         = "58030"
)

// passingStates are gone when the same is tried again: a serialization failure, a
// deadlock, a lock that took too long, a standby, no connection left, and a server
// that stops or starts.
var passingStates = map[string]bool{
	"40001": true, "40P01": true, "55P03": true, readOnly: true, "53300": true,
	"57P01": true, "57P02": true, "57P03": true, "57P05": true, "25P03": true,
}

// passing marks an error that is gone when the same is tried again.
type passing struct{ err error }

func (p *passing) Error() string { return p.err.Error() }
func (p *passing) Unwrap() error { return p.err }

var errLost error = &passing{fmt.Errorf("%w (the connection was lost)", ErrAway)}

func postgresIsPassing(err error) bool {
	_, ok := errors.AsType[*passing](err)
	return ok
}

// postgresFault says what an error of a statement means.
func postgresFault(ctx context.Context, conn *pgx.Conn, err error) error {
	if err == nil || postgresIsPassing(err) {
		return err
	}
	state := sqlState(err)
	switch {
	case state == canceled && ctx.Err() != nil:
		return fmt.Errorf("%w (%w)", ctx.Err(), err)
	case passingStates[state], state == canceled, strings.HasPrefix(state, "08"),
		state == notSupported && strings.Contains(err.Error(), "cached plan"): // a migration has changed the table
		return &passing{fmt.Errorf("%w (%w)", ErrAway, err)}
	case conn.IsClosed() && ctx.Err() != nil:
		return &passing{fmt.Errorf("%w (%w)", ctx.Err(), err)}
	case conn.IsClosed():
		return &passing{fmt.Errorf("%w (%w)", ErrAway, err)}
	}
	return err
}

// connectFault says what a failure to connect means: what the operator must
// repair (a password, a database that is not there) stays itself.
func connectFault(ctx context.Context, err error) error {
	state := sqlState(err)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w (%w)", ErrAway, errors.Join(ctx.Err(), err))
	case state != "" && !passingStates[state] && !strings.HasPrefix(state, "08"):
		return err
	}
	return fmt.Errorf("%w (%w)", ErrAway, err)
}

func postgresIsUnique(err error) bool { return sqlState(err) == uniqueViolation }

func postgresIsFull(err error) bool {
	state := sqlState(err)
	return state == diskFull || state == ioError
}

func postgresIsConstraint(err error) bool { return strings.HasPrefix(sqlState(err), "23") }

// sqlState gives the code of the server's answer, "" for an error of another
// source.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
