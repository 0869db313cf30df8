package sqldb

import "context"

// Query runs a SELECT on what is committed now. It waits for one of the readers,
// and the end of ctx ends that wait as well as the statement. It fails with
// [ErrNoDeadline], ctx.Err() or the engine's error. Rows left open hold a reader
// until ctx ends.
func (db *DB) Query(ctx context.Context, query string, args ...any) (*Rows, error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	if err := checkArgs(args); err != nil {
		return nil, err
	}
	rows, err := db.engine.query(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return &Rows{rows: rows}, nil
}

// QueryRow is Query for at most one row. Its error waits for Row.Scan.
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) *Row {
	rows, err := db.Query(ctx, query, args...)
	return &Row{rows: rows, err: err}
}
