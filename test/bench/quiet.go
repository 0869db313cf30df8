package main

import (
	"context"
	"runtime"
	"time"
)

// How much of the machine its other users may take: before a lap, looked at for
// a moment, and during one. The kernel's own threads count among them.
const (
	noiseBefore = 0.12
	noiseDuring = 0.15
	moment      = 300 * time.Millisecond
)

// patience is how long the bench waits in all for the machine's other users:
// before a lap until they are quiet, and for another lap if they were not. When
// it has run out, laps count as they come; the report shows what others took.
type patience struct{ left time.Duration }

// wait returns when the machine is quiet.
func (p *patience) wait(ctx context.Context) error {
	for {
		begun := time.Now()
		share, err := idleShare(ctx)
		if err != nil || 1-share <= noiseBefore || p.left <= 0 {
			return err
		}
		p.left -= time.Since(begun)
	}
}

// accepts says whether a lap may count; one that may not uses patience up.
func (p *patience) accepts(l lap) bool {
	if l.others() <= noiseDuring*float64(runtime.NumCPU()) || p.left <= 0 {
		return true
	}
	p.left -= l.took
	return false
}

// others is how many cores were busy with what is not measured.
func (l lap) others() float64 {
	return max(0, float64(runtime.NumCPU())-(l.used()+l.cpu[idleKey]).Seconds()/l.took.Seconds())
}

// idleShare is how much of the machine is idle during the next moment, 0 to 1.
func idleShare(ctx context.Context) (float64, error) {
	start, err := idle()
	if err != nil {
		return 0, err
	}
	timer := time.NewTimer(moment)
	defer timer.Stop()
	begun := time.Now()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	end, err := idle()
	return (end - start).Seconds() / time.Since(begun).Seconds() / float64(runtime.NumCPU()), err
}
