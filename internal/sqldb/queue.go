package sqldb

import (
	"context"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// call is one Write on its way.
type call struct {
	ctx  context.Context
	f    func(*Tx) error
	err  error      // the function's own outcome, the writer's to set
	done chan error // holds one answer, so that the writer never waits for a caller
}

// queue holds the calls that wait, oldest first. It is a slice under a mutex
// rather than a channel, so that a caller who leaves can be taken out and closing
// has a defined last element.
type queue struct {
	mu      sync.Mutex
	waiting []*call
	limit   int
	closed  bool
	wake    chan struct{} // holds one token when there is something to take
	depth   prometheus.Gauge
}

func newQueue(limit int, depth prometheus.Gauge) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1), depth: depth}
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

// remove takes c out again; false means that the writer has it already.
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

// take waits for calls and hands out the oldest, at most limit, in batch's
// memory. It returns none only when the queue is closed and empty.
func (q *queue) take(batch []*call, limit int) []*call {
	for {
		q.mu.Lock()
		n := min(len(q.waiting), limit)
		batch = append(batch[:0], q.waiting[:n]...)
		q.waiting = slices.Delete(q.waiting, 0, n)
		q.changed()
		closed := q.closed
		q.mu.Unlock()
		if n > 0 || closed {
			return batch
		}
		<-q.wake
	}
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

// changed wakes the writer and shows the new depth; q.mu is held.
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
