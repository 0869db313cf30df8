// Package clock is the time that records and audit rows bear: the server's, in
// UTC, which no caller can set and which does not go back while a process runs.
// The wall clock is held against the processor's monotonic one: what it gains or
// loses in one step (an operator set it, a virtual machine was moved) is counted,
// and a step back is not followed until the wall clock has caught up.
package clock

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// tolerated is what two readings of both clocks may differ by without a step.
const tolerated = time.Second

var steps = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "clinsource_clock_steps_total",
	Help: "How often the wall clock went forward or back by more than a second against the monotonic one.",
}, []string{"direction"})

// checked is one process's clock.
type checked struct {
	wall    func() time.Time
	elapsed func() time.Duration // Of the monotonic clock.

	mu          sync.Mutex
	lastWall    time.Time
	lastElapsed time.Duration
	told        time.Time // The latest that was given.
}

var (
	start   = time.Now()
	process = &checked{wall: time.Now, elapsed: func() time.Duration { return time.Since(start) }}
)

// Now gives the time, in UTC and whole microseconds, never earlier than it gave before.
func Now() time.Time { return process.now() }

func (c *checked) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, elapsed := c.wall().Round(0), c.elapsed()
	if !c.lastWall.IsZero() {
		switch gained := wall.Sub(c.lastWall) - (elapsed - c.lastElapsed); {
		case gained > tolerated:
			steps.WithLabelValues("forward").Inc()
		case gained < -tolerated:
			steps.WithLabelValues("back").Inc()
		}
	}
	c.lastWall, c.lastElapsed = wall, elapsed
	at := time.UnixMicro(wall.UnixMicro()).UTC()
	if at.Before(c.told) {
		return c.told
	}
	c.told = at
	return at
}
