package clock

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Shows R15.
func TestTheClockIsUTCAndNeverGoesBack(t *testing.T) {
	before := Now()
	for range 1000 {
		at := Now()
		if at.Before(before) || at.Location() != time.UTC || at.Nanosecond()%1000 != 0 {
			t.Fatalf("after %v comes %v", before, at)
		}
		before = at
	}
}

// Shows R15.
func TestStepsAreCountedAndNotFollowedBack(t *testing.T) {
	wall, elapsed := time.Date(2026, 3, 29, 1, 59, 0, 0, time.UTC), time.Duration(0)
	c := &checked{wall: func() time.Time { return wall }, elapsed: func() time.Duration { return elapsed }}
	counted := func(direction string) float64 { return testutil.ToFloat64(steps.WithLabelValues(direction)) }
	forward, back := counted("forward"), counted("back")
	for _, step := range []struct {
		wall, elapsed time.Duration
		gives         time.Time
	}{
		{0, 0, wall},
		{time.Hour, time.Hour, wall.Add(time.Hour)},                       // Time passes.
		{-time.Hour, time.Second, wall.Add(time.Hour)},                    // Set back.
		{time.Second, time.Second, wall.Add(time.Hour)},                   // Not caught up yet.
		{3 * time.Hour, time.Second, wall.Add(3*time.Hour + time.Second)}, // Set forward.
	} {
		wall, elapsed = wall.Add(step.wall), elapsed+step.elapsed
		if at := c.now(); !at.Equal(step.gives) {
			t.Errorf("after %+v the clock says %v", step, at)
		}
	}
	if f, b := counted("forward")-forward, counted("back")-back; f != 1 || b != 1 {
		t.Errorf("one step each way counts %v forward and %v back", f, b)
	}
}
