package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// lap is one contender's turn in one round.
type lap struct {
	ops   int
	took  time.Duration
	times []time.Duration // How long each operation took, ascending.
	beats []time.Duration // What the operation was to be compared with, where it tells so itself.
	cpu   map[string]time.Duration
}

func (l lap) rate() float64 { return float64(l.ops) / l.took.Seconds() }

// contender is one way of doing the work of a group.
type contender struct {
	name    string
	callers int
	turn    func(ctx context.Context) (lap, error)
	laps    []lap // The counted ones.
}

// group is the contenders that are compared with each other.
type group struct {
	title      string
	unit       string // What one operation is, for the table of CPU time.
	size       int64  // Bytes of one operation, if throughput counts bytes.
	contenders []*contender
	goals      []goal
	also       map[string]int // Further processes that are measured.
	before     func()         // Before each lap, not measured.
	patience   *patience
	closers    []func() // In reverse order at the end.
}

func (g *group) close() {
	for i := len(g.closers) - 1; i >= 0; i-- {
		g.closers[i]()
	}
}

// run lets the contenders take turns: one round to warm up, then those that
// count, every other one backwards, so that what drifts, drifts for all.
func (g *group) run(ctx context.Context, rounds int, pids map[string]int) error {
	for round := range rounds + 1 {
		order := slices.Clone(g.contenders)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, c := range order {
			l, err := g.turn(ctx, c, pids)
			if err != nil {
				return fmt.Errorf("%s, round %d: %w", c.name, round, err)
			}
			if round > 0 {
				c.laps = append(c.laps, l)
			}
		}
	}
	return nil
}

// turn gives one lap that may count.
func (g *group) turn(ctx context.Context, c *contender, pids map[string]int) (lap, error) {
	for {
		if g.before != nil {
			g.before()
		}
		if err := g.patience.wait(ctx); err != nil {
			return lap{}, err
		}
		l, err := g.measured(ctx, c, pids)
		if err != nil || g.patience.accepts(l) {
			return l, err
		}
	}
}

// measured runs one lap and adds what CPU time each process took for it.
func (g *group) measured(ctx context.Context, c *contender, pids map[string]int) (lap, error) {
	all := maps.Clone(pids)
	maps.Copy(all, g.also)
	start, err := cpuTimes(all)
	if err != nil {
		return lap{}, err
	}
	l, err := c.turn(ctx)
	if err != nil {
		return lap{}, err
	}
	end, err := cpuTimes(all)
	l.cpu = map[string]time.Duration{}
	for name := range end {
		l.cpu[name] = end[name] - start[name]
	}
	return l, err
}

// operation does the work once; beat is what it is to be compared with, or 0.
type operation func(ctx context.Context, caller int) (beat time.Duration, err error)

// closedLoop lets callers repeat the operation, each as soon as its last one is
// done, until the time is over. The first error ends it.
func closedLoop(ctx context.Context, callers int, d time.Duration, do operation) (lap, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var over atomic.Bool
	timer := time.AfterFunc(d, func() { over.Store(true) })
	defer timer.Stop()
	each := make([]lap, callers)
	begun := time.Now()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for !over.Load() && ctx.Err() == nil {
				start := time.Now()
				beat, err := do(ctx, i)
				if err != nil {
					cancel(err)
					return
				}
				each[i].times = append(each[i].times, time.Since(start))
				if beat > 0 {
					each[i].beats = append(each[i].beats, beat)
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return lap{}, err
	}
	l := lap{took: time.Since(begun)}
	for _, e := range each {
		l.times, l.beats = append(l.times, e.times...), append(l.beats, e.beats...)
	}
	l.ops = len(l.times)
	slices.Sort(l.times)
	slices.Sort(l.beats)
	return l, nil
}
