package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestRoundsInterleaveAndTheFirstIsNotCounted(t *testing.T) {
	var order []string
	g := &group{patience: &patience{}}
	for _, name := range []string{"a", "b", "c"} {
		g.contenders = append(g.contenders, &contender{name: name, turn: func(context.Context) (lap, error) {
			order = append(order, name)
			return lap{ops: len(order), took: time.Second}, nil
		}})
	}
	var before int
	g.before = func() { before++ }
	if err := g.run(t.Context(), 2, map[string]int{"bench": os.Getpid()}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ""); got != "abccbaabc" {
		t.Errorf("the turns were %s", got)
	}
	if before != 9 {
		t.Errorf("%d preparations for 9 laps", before)
	}
	if laps := g.contenders[0].laps; len(laps) != 2 || laps[0].ops != 6 || laps[1].ops != 7 {
		t.Errorf("the first contender's counted laps are %v", laps)
	}
	if _, measured := g.contenders[0].laps[0].cpu["bench"]; !measured {
		t.Error("a lap has no CPU time of the bench itself")
	}
}

func TestRunNamesWhoFailed(t *testing.T) {
	g := &group{patience: &patience{}, contenders: []*contender{{name: "the sink", turn: func(context.Context) (lap, error) {
		return lap{}, errors.New("gone")
	}}}}
	err := g.run(t.Context(), 1, map[string]int{})
	if err == nil || !strings.Contains(err.Error(), "the sink, round 0: gone") {
		t.Errorf("got %v", err)
	}
}

func TestClosedLoopKeepsAllCallersBusy(t *testing.T) {
	var running, most atomic.Int64
	l, err := closedLoop(t.Context(), 8, 100*time.Millisecond, func(_ context.Context, caller int) (time.Duration, error) {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond * time.Duration(1+caller))
		running.Add(-1)
		return time.Duration(caller), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if most.Load() != 8 {
		t.Errorf("%d callers at once, want 8", most.Load())
	}
	if l.ops != len(l.times) || l.ops < 16 || !slices.IsSorted(l.times) {
		t.Errorf("%d operations, %d times", l.ops, len(l.times))
	}
	if len(l.beats) == 0 || l.beats[0] != 1 || l.beats[len(l.beats)-1] != 7 {
		t.Errorf("the operations' own figures are %v", l.beats)
	}
	if l.took < 100*time.Millisecond {
		t.Errorf("it took %v, less than it was to", l.took)
	}
}

func TestClosedLoopEndsAtTheFirstError(t *testing.T) {
	begun := time.Now()
	_, err := closedLoop(t.Context(), 4, time.Minute, func(ctx context.Context, caller int) (time.Duration, error) {
		if caller == 2 {
			return 0, errors.New("refused")
		}
		<-ctx.Done()
		return 0, ctx.Err()
	})
	if err == nil || err.Error() != "refused" {
		t.Errorf("got %v, want the first error", err)
	}
	if time.Since(begun) > 10*time.Second {
		t.Error("it went on after the error")
	}
}
