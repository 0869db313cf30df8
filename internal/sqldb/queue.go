package sqldb

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// call is one Write on its way.
type call struct {
	ctx   context.Context
	f     func(*Tx) error
	keys  []string
	state atomic.Int32
	err   error      // the function's own outcome, the writer's to set
	done  chan error // holds one answer, so that the writer never waits for a caller
}

// A call waits until its writer starts it or its caller leaves, whichever is
// first.
const (
	waiting int32 = iota
	started
	left
)

// start says whether the function may be run, for the first time or again.
func (c *call) start() bool {
	return c.state.CompareAndSwap(waiting, started) || c.state.Load() == started
}

// leave says whether the caller left before the function was started.
func (c *call) leave() bool { return c.state.CompareAndSwap(waiting, left) }

// queue holds the calls that wait, oldest first. It is a slice under a mutex
// rather than a channel, so that a caller who leaves can be taken out, a call
// whose key another writer works on is passed over, and closing has a defined
// last element.
type queue struct {
	mu      sync.Mutex
	waiting []*call
	busy    map[string]int // keys of the calls that writers have, counted
	limit   int
	closed  bool
	wake    chan struct{} // holds one token when there is something to take
	depth   prometheus.Gauge
}

func newQueue(limit int, depth prometheus.Gauge) *queue {
	return &queue{limit: limit, busy: make(map[string]int), wake: make(chan struct{}, 1), depth: depth}
}

// push adds c, or fails at once with ErrBusy or ErrClosed.
func (q *queue) push(c *call) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	if len(q.waiting) >= q.limit {
		return ErrBusy
	}
	q.waiting = append(q.waiting, c)
	q.changed()
	return nil
}

// remove takes c out again; false means that a writer has it already.
func (q *queue) remove(c *call) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, c)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	q.changed()
	return true
}

// take waits for calls and hands out the oldest that may run, at most limit, in
// batch's memory; the writer gives them back with settled. It returns none only
// when the queue is closed and empty.
func (q *queue) take(batch []*call, limit int) []*call {
	for {
		q.mu.Lock()
		batch = q.pick(batch[:0], limit)
		over := q.closed && len(q.waiting) == 0
		if len(batch) > 0 || over {
			q.changed() // for the next writer
		}
		q.mu.Unlock()
		if len(batch) > 0 || over {
			return batch
		}
		<-q.wake
	}
}

// pick moves calls from the queue to the batch. Calls of one key stay in order
// and never run on two writers at once: what waits for a key holds up all that
// came after it with any key of its own.
func (q *queue) pick(batch []*call, limit int) []*call {
	blocked := map[string]bool{}
	rest := q.waiting[:0]
	for _, c := range q.waiting {
		held := slices.ContainsFunc(c.keys, func(k string) bool { return q.busy[k] > 0 || blocked[k] })
		if len(batch) < limit && !held {
			batch = append(batch, c)
			continue
		}
		for _, k := range c.keys {
			blocked[k] = true
		}
		rest = append(rest, c)
	}
	clear(q.waiting[len(rest):])
	q.waiting = rest
	for _, c := range batch {
		for _, k := range c.keys {
			q.busy[k]++
		}
	}
	return batch
}

// settled frees the keys of a batch.
func (q *queue) settled(batch []*call) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range batch {
		for _, k := range c.keys {
			if q.busy[k]--; q.busy[k] == 0 {
				delete(q.busy, k)
			}
		}
	}
	q.changed()
}

// close ends pushing; false means that it had ended before.
func (q *queue) close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.closed = true
	q.changed()
	return true
}

// changed wakes a writer and shows the new depth; q.mu is held.
func (q *queue) changed() {
	q.depth.Set(float64(len(q.waiting)))
	if len(q.waiting) == 0 && !q.closed {
		return
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
