package sqldb

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestWritesOfAKeyRunAloneAndInTheirOrder counts by reading and writing, which
// only a key makes right beside other writers.
func TestWritesOfAKeyRunAloneAndInTheirOrder(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	ctx := within(t, time.Minute)
	if err := db.Write(ctx, addNote(ctx, "count")); err != nil {
		t.Fatal(err)
	}
	add := func(tx *Tx) error {
		var n int64
		if err := tx.QueryRow(ctx, `SELECT n FROM notes WHERE id = $1`, "count").Scan(&n); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE notes SET n = $1 WHERE id = $2`, n+1, "count")
		return err
	}
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for range 20 {
				if err := db.Write(ctx, add, Key("count")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	var n int
	if err := db.QueryRow(ctx, `SELECT n FROM notes WHERE id = $1`, "count").Scan(&n); err != nil || n != 320 {
		t.Errorf("counted %d (%v), want 320", n, err)
	}
}

// TestWhatWaitsForAKeyLetsOthersPassAndIsNext looks at the queue itself.
func TestWhatWaitsForAKeyLetsOthersPassAndIsNext(t *testing.T) {
	q := newQueue(10, queueDepth.WithLabelValues("test"))
	push := func(keys ...string) *call {
		c := &call{keys: keys}
		if err := q.push(c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	took := func(what string, limit int, want ...*call) []*call {
		t.Helper()
		got := q.take(nil, limit)
		if !slices.Equal(got, want) {
			t.Errorf("%s: took %v, want %v", what, names(got), names(want))
		}
		return got
	}
	a1, a2 := push("a1"), push("a2")
	first := took("all", 2, a1, a2)
	ab, b, c, none := push("a1", "b"), push("b"), push("c"), push()
	took("what shares no key with those under way, nor with those that wait longer", 9, c, none)
	q.settled(first)
	took("in their order", 1, ab)
	d := push("d")
	took("b is with ab", 9, d)
	q.settled([]*call{ab})
	took("b", 9, b)
	q.close()
	took("closed and empty", 9)
}

func names(calls []*call) (all []string) {
	for _, c := range calls {
		all = append(all, fmt.Sprint(c.keys))
	}
	return all
}
