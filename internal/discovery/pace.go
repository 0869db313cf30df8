package discovery

import (
	"context"
	"math/rand/v2"
	"time"
)

// pace holds every duration of the package in one place, so that tests can run
// the same code faster.
type pace struct {
	lease    time.Duration // life of a registration without a sign of life; whole seconds
	relist   time.Duration // how often a list is read even if the watch is silent
	call     time.Duration // deadline of one exchange with etcd
	grace    time.Duration // how long a resolver stays silent before it reports that nothing is known
	retryMin time.Duration // first pause after a failure
	retryMax time.Duration // longest pause after repeated failures
}

// productionPace: the lease is go-zero's. A third of it between signs of life
// leaves room for two that fail.
var productionPace = pace{
	lease:    10 * time.Second,
	relist:   5 * time.Second,
	call:     2 * time.Second,
	grace:    time.Second,
	retryMin: 200 * time.Millisecond,
	retryMax: 2 * time.Second,
}

func (p pace) beat() time.Duration { return p.lease / 3 }

// retry is the pause after the given number of failures in a row (from 1 on):
// doubling from retryMin to retryMax, before jitter.
func (p pace) retry(failures int) time.Duration {
	d := p.retryMin
	for i := 1; i < failures && d < p.retryMax; i++ {
		d *= 2
	}
	return min(d, p.retryMax)
}

// sleep pauses for d, spread by a quarter to either side so that the processes
// of a suite do not knock at a returning etcd in step. False when ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(jitter(d))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1)
}
