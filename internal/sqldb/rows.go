package sqldb

import "database/sql"

// cursor is what every engine's rows can do; *sql.Rows is one.
type cursor interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

var _ cursor = (*sql.Rows)(nil)

// Rows is the answer to Query, read as *sql.Rows is: Next and Scan in a loop,
// then Err, and Close in any case.
type Rows struct {
	rows cursor
	tx   *Tx // nil outside a write
}

// Next steps to the next row. After false the rows are closed; Err tells the end
// from a failure.
func (r *Rows) Next() bool {
	if r.rows.Next() {
		return true
	}
	r.settle(r.Err())
	return false
}

// Scan reads the current row's columns into the pointers, as *sql.Rows does.
func (r *Rows) Scan(dest ...any) error { return r.rows.Scan(dest...) }

// Err gives the failure that ended Next, nil after the last row.
func (r *Rows) Err() error { return r.rows.Err() }

// Close gives the statement back; closing twice is allowed.
func (r *Rows) Close() error {
	err := r.rows.Close()
	r.settle(err)
	return err
}

func (r *Rows) settle(err error) {
	if r.tx == nil || r.tx.rows != r {
		return
	}
	r.tx.rows = nil
	if err != nil {
		_ = r.tx.fail(err)
	}
}

// Row is the answer to QueryRow.
type Row struct {
	rows *Rows
	err  error
}

// Scan reads the first row's columns and closes the statement. It gives
// sql.ErrNoRows when there is none. It must be called.
func (r *Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	return r.rows.Close()
}
