// Package page is how every list of clinsource turns pages: a size with one
// default and one bound, and an opaque token that remembers where the page
// before ended. A token is bound to the request it came from (which list, whose,
// in which order), so that one list's token cannot steer another; it holds a
// position only, never a permission: every page is filtered anew.
package page

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"clinsource/internal/fault"
)

// DefaultSize and MaxSize bound a page, in items.
const (
	DefaultSize = 50
	MaxSize     = 1000
)

// Cursor is a position in a list ordered by a number (a time in microseconds)
// and then by an id.
type Cursor struct {
	At int64
	ID string
}

// Request is a checked page request.
type Request struct {
	Size  int
	After *Cursor // nil on the first page.
	scope string
}

// Parse checks a request's page_size and page_token; scope names the list and
// all that selects its rows.
func Parse(size int32, token string, scope ...string) (Request, error) {
	r := Request{Size: int(size), scope: strings.Join(scope, "\x00")}
	if size < 0 {
		return r, fault.InvalidFields([]fault.Violation{{Field: "page_size", Rule: "page.size", Message: "must not be negative; 0 means 50"}})
	}
	if size == 0 {
		r.Size = DefaultSize
	}
	r.Size = min(r.Size, MaxSize)
	if token == "" {
		return r, nil
	}
	cursor, ok := decode(token, r.scope)
	if !ok {
		return r, fault.Invalid(fault.ReasonPageTokenInvalid, "page_token is not one of this list",
			fault.Violation{Field: "page_token", Rule: "page.token", Message: "must be the next_page_token of the answer before, for the same request"})
	}
	r.After = &cursor
	return r, nil
}

// Limit is how many rows to read: one more than the page, to know whether
// there is a next one.
func (r Request) Limit() int { return r.Size + 1 }

// Trim cuts rows to the page and gives the token of the next one, or "".
func Trim[T any](r Request, rows []T, at func(T) Cursor) ([]T, string) {
	if len(rows) <= r.Size {
		return rows, ""
	}
	rows = rows[:r.Size]
	return rows, encode(at(rows[r.Size-1]), r.scope)
}

const (
	bindingLength = 8
	maxID         = 256 // Bytes; the longest id in use is a patient and a sign.
)

func binding(scope string) []byte {
	sum := sha256.Sum256([]byte(scope))
	return sum[:bindingLength]
}

func encode(c Cursor, scope string) string {
	b := binary.BigEndian.AppendUint64(binding(scope), uint64(c.At))
	return base64.RawURLEncoding.EncodeToString(append(b, c.ID...))
}

func decode(token, scope string) (Cursor, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < bindingLength+8 || len(b) > bindingLength+8+maxID {
		return Cursor{}, false
	}
	if string(b[:bindingLength]) != string(binding(scope)) {
		return Cursor{}, false
	}
	rest := b[bindingLength:]
	id := string(rest[8:])
	if !utf8.ValidString(id) || strings.Contains(id, "\x00") {
		return Cursor{}, false // PostgreSQL would refuse it as an argument.
	}
	return Cursor{At: int64(binary.BigEndian.Uint64(rest)), ID: id}, true
}
