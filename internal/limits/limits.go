// Package limits keeps one caller from taking what is there for all, and whoever
// guesses tokens from costing anything. A Gate stands where calls come in (the
// gateway's routes, each gRPC service) around the verification of the token:
//
//   - A caller, which is issuer and subject of a verified token, has a token bucket
//     for its rate and a bound on its requests at once.
//   - A source address, of those who are not verified yet, has an allowance of
//     refusals. A missing token costs 1, one that is not valid 10; when the allowance
//     is used up, the source is locked out for a time that doubles from lockout to
//     lockout, up to a minute. During it nothing is verified for it, but for whom
//     this process knows: a token that was valid here before, and, with an allowance
//     of their own, new tokens that name a caller who was. So those who share an
//     address with a guesser go on working.
//
// All of it is in this process's memory, bounded, and never off: a limit of 0 is
// the default.
package limits

import (
	"cmp"
	"errors"
	"time"
)

// Config of a process's limits; what is 0 or left out is the default.
type Config struct {
	PerSecond int `json:",optional"` // Requests a second of one caller, on average; default 20,000.
	Burst     int `json:",optional"` // Requests that one caller may send at once after a pause; default 40,000.
	AtOnce    int `json:",optional"` // Requests of one caller under way at once; default 1,024.
	Refusals  int `json:",optional"` // Allowance of one source address a minute: 1 for a missing token, 10 for one not valid; default 4,000.
}

func (c Config) complete() (Config, error) {
	if min(c.PerSecond, c.Burst, c.AtOnce, c.Refusals) < 0 {
		return c, errors.New("Limits: a limit is positive, or 0 for the default; none can be turned off")
	}
	return Config{
		PerSecond: cmp.Or(c.PerSecond, 20_000), Burst: cmp.Or(c.Burst, 2*c.PerSecond, 40_000),
		AtOnce: cmp.Or(c.AtOnce, 1_024), Refusals: cmp.Or(c.Refusals, 4_000),
	}, nil
}

// bucket is a token bucket, and how much of what it guards is under way.
type bucket struct {
	left     float64
	at       time.Time // When left was right.
	underWay int
}

// refill brings left up to date.
func (b *bucket) refill(now time.Time, perSecond, size float64) {
	if b.at.IsZero() {
		b.left = size
	} else if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.left = min(size, b.left+passed*perSecond)
	}
	b.at = now
}

// wait is how long until it holds n.
func (b *bucket) wait(n, perSecond float64) time.Duration {
	return time.Duration((n - b.left) / perSecond * float64(time.Second))
}
