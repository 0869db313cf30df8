package limits

import (
	"sync"
	"time"

	"clinsource/internal/fault"
)

// maxCallers bounds what is kept in memory; whoever is forgotten begins with a
// full bucket.
const maxCallers = 50_000

// callers limits each caller.
type callers struct {
	perSecond, burst float64
	atOnce           int
	now              func() time.Time

	mu    sync.Mutex
	known map[string]*bucket
}

// enter lets one request in, until leave is called.
func (c *callers) enter(caller string) (leave func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.known[caller]
	if b == nil {
		c.makeRoom()
		b = &bucket{}
		c.known[caller] = b
	}
	b.refill(c.now(), c.perSecond, c.burst)
	switch {
	case b.underWay >= c.atOnce:
		refusals.WithLabelValues("at_once").Inc()
		return nil, fault.Exhausted(fault.ReasonCallerLimit, "too many requests of this caller are under way at once", time.Second)
	case b.left < 1:
		refusals.WithLabelValues("rate").Inc()
		return nil, fault.Exhausted(fault.ReasonCallerLimit, "this caller sends too many requests a second", max(time.Second, b.wait(1, c.perSecond)))
	}
	b.left--
	b.underWay++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		b.underWay--
	}), nil
}

// makeRoom forgets some caller who has nothing under way. Of the map's first
// few in no order, so that it costs the same however many there are.
func (c *callers) makeRoom() {
	if len(c.known) < maxCallers {
		return
	}
	for caller, b := range c.known {
		if b.underWay == 0 {
			delete(c.known, caller)
			return
		}
	}
}
