package limits

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc/codes"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
)

var (
	refusals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_limits_refused_total", Help: "Requests refused by a limit: rate and at_once of a caller, locked_out of a source address.",
	}, []string{"limit"})
	lockouts = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "clinsource_limits_lockouts_total", Help: "Times that a source address was locked out for refused tokens.",
	})
)

func init() {
	prometheus.MustRegister(refusals, lockouts)
	for _, limit := range []string{"rate", "at_once", "locked_out"} {
		refusals.WithLabelValues(limit)
	}
}

// Verifier says who an authorization speaks for.
type Verifier interface {
	Verify(ctx context.Context, authorization string) (*auth.User, error)
}

// Gate lets calls in.
type Gate struct {
	// LockedOut is told of each lockout, if it is set: the source and how long.
	// It is called while a call waits, so it must not wait itself.
	LockedOut func(source string, lasts time.Duration)

	verifier Verifier
	trying   callers // By source: those whose token is being verified.
	callers  callers
	sources  sources
	now      func() time.Time

	mu    sync.Mutex
	known map[[sha256.Size]byte]time.Time // Tokens and callers that were valid here, and until when that counts.
}

// How long, and of how many, it is known that they were valid.
const (
	tokenKnownFor  = time.Hour
	callerKnownFor = 24 * time.Hour
	maxKnown       = 100_000
	// callersPerSource is how many callers' limits an address has for requests whose
	// token is not verified yet: many callers may share one.
	callersPerSource = 4
)

// New makes a gate.
func New(c Config, verifier Verifier) (*Gate, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	g := &Gate{verifier: verifier, now: time.Now, known: map[[sha256.Size]byte]time.Time{}}
	clock := func() time.Time { return g.now() }
	limited := func(times int) callers {
		return callers{perSecond: float64(c.PerSecond * times), burst: float64(c.Burst * times), atOnce: c.AtOnce * times, now: clock, known: map[string]*bucket{}}
	}
	g.callers, g.trying = limited(1), limited(callersPerSource)
	g.sources = sources{size: float64(c.Refusals), now: clock, known: map[string]*source{}}
	return g, nil
}

// Admit verifies who calls, and lets the request in until leave is called. source
// is where it comes from (Source); "" for a process that has verified the token
// itself: it can guess nothing, and its callers share it.
func (g *Gate) Admit(ctx context.Context, source, authorization string) (user *auth.User, leave func(), err error) {
	user, err = g.identify(ctx, source, authorization)
	if err != nil {
		return nil, nil, err
	}
	g.remember(authorization, user)
	leave, err = g.callers.enter(callerOf(user.Issuer, user.Subject))
	return user, leave, err
}

func (g *Gate) identify(ctx context.Context, source, authorization string) (*auth.User, error) {
	if source == "" {
		return g.verifier.Verify(ctx, authorization)
	}
	charged, err := g.mayTry(source, authorization)
	if err != nil {
		return nil, err
	}
	done, err := g.trying.enter(source)
	if err != nil {
		return nil, err
	}
	defer done()
	user, err := g.verifier.Verify(ctx, authorization)
	if err != nil {
		g.refused(charged, err)
	}
	return user, err
}

// mayTry says whose allowance a refusal costs, or that nothing is verified.
func (g *Gate) mayTry(source, authorization string) (charged string, err error) {
	wait := g.sources.lockedFor(source)
	if wait == 0 {
		return source, nil
	}
	if g.isKnown(sha256.Sum256([]byte(authorization))) {
		return source, nil
	}
	// A new token of somebody we know, or of who pretends to be: with an allowance
	// of its own, for that one caller from that one source.
	if caller := callerOf(auth.Claimed(authorization)); g.isKnown(sha256.Sum256([]byte(caller))) {
		charged = source + " " + caller
		if wait = g.sources.lockedFor(charged); wait == 0 {
			return charged, nil
		}
	}
	refusals.WithLabelValues("locked_out").Inc()
	return "", fault.Exhausted(fault.ReasonLockedOut, "too many requests from this address came without a valid token; nothing is verified for it for a while", wait)
}

// refused charges a refusal. A token that was the issuer's own and has expired
// is no guess, nor is one that could not be verified.
func (g *Gate) refused(charged string, err error) {
	cost := float64(costMissing)
	if f := fault.From(err); f.Code == codes.Unauthenticated && f.Reason == fault.ReasonTokenInvalid && !errors.Is(err, auth.ErrExpired) {
		cost = costInvalid
	}
	lasts := g.sources.refused(charged, cost)
	if lasts == 0 {
		return
	}
	lockouts.Inc()
	logx.Infow("a source address is locked out: too many refused tokens", logx.Field("seconds", lasts.Seconds()))
	if g.LockedOut != nil {
		g.LockedOut(charged, lasts)
	}
}

func callerOf(issuer, subject string) string { return issuer + "\x00" + subject }

func (g *Gate) isKnown(key [sha256.Size]byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now().Before(g.known[key])
}

func (g *Gate) remember(authorization string, user *auth.User) {
	token, caller := sha256.Sum256([]byte(authorization)), sha256.Sum256([]byte(callerOf(user.Issuer, user.Subject)))
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for len(g.known) >= maxKnown { // Some one, in no order: they come again.
		for key := range g.known {
			delete(g.known, key)
			break
		}
	}
	g.known[token], g.known[caller] = now.Add(tokenKnownFor), now.Add(callerKnownFor)
}
