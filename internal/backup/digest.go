package backup

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// digest is the sum, modulo 2^256, of the SHA-256 of every row: the same for the
// same rows in any order, and another one for a row more, less or changed.
type digest struct {
	rows int64
	sum  [4]uint64
}

func (d *digest) add(row [sha256.Size]byte) {
	var carry uint64
	for i := range d.sum {
		d.sum[i], carry = bits.Add64(d.sum[i], binary.LittleEndian.Uint64(row[8*i:]), carry)
	}
	d.rows++
}

func (d *digest) hex() string {
	var b []byte
	for _, word := range d.sum {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	return hex.EncodeToString(b)
}

// querier is a database, or a transaction that sees one moment of it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// digestOf reads a whole table. Columns are taken by name, because their order
// may differ between engines and after migrations.
func digestOf(ctx context.Context, db querier, service, table string, columns []string) (Table, error) {
	columns = slices.Sorted(slices.Values(columns))
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = strconv.Quote(c)
	}
	// The names are from the database's own catalogue.
	rows, err := db.QueryContext(ctx, `SELECT `+strings.Join(quoted, ", ")+` FROM `+strconv.Quote(table))
	if err != nil {
		return Table{}, err
	}
	defer rows.Close()
	var d digest
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	var row []byte
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return Table{}, err
		}
		row = row[:0]
		for i, v := range values {
			if row, err = appendValue(row, columns[i], v); err != nil {
				return Table{}, fmt.Errorf("table %s: %w", table, err)
			}
		}
		d.add(sha256.Sum256(row))
	}
	return Table{Service: service, Name: table, Rows: d.rows, Digest: d.hex()}, rows.Err()
}

// appendValue encodes a column's name and value so that no two rows encode to
// the same bytes.
func appendValue(b []byte, column string, v any) ([]byte, error) {
	b = appendText(b, 'c', column)
	switch v := v.(type) {
	case nil:
		return append(b, 'n'), nil
	case int64:
		return appendText(b, 'i', strconv.FormatInt(v, 10)), nil
	case string:
		return appendText(b, 't', v), nil
	case []byte:
		return appendText(b, 't', string(v)), nil
	}
	return nil, fmt.Errorf("column %s holds a %T; columns are TEXT and BIGINT", column, v)
}

func appendText(b []byte, kind byte, s string) []byte {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}
