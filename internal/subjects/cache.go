// Package subjects answers, for every service that stores something about a
// patient: whose patient is this, and may the caller do that to them? The
// registry (subject-rpc) knows; Cache asks it and remembers; Admit decides.
//
// A withdrawal is told by a signal through etcd (Changed), on which Age makes
// every answer due at once.
//
// The registry being slow or away must not stop the intake. A positive answer
// serves for 2 s without asking; while the registry does not answer, the last
// known answer serves for a bounded time, and what is stored on it is marked and
// rechecked when the registry is back. "No such patient" is never remembered: a
// subject enrolled a moment ago is found at once.
package subjects

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"clinsource/internal/fault"
	subjectpb "clinsource/proto/subject"
)

// Place is where a patient belongs.
type Place struct {
	Project, Site string
	Withdrawn     time.Time // Zero if enrolled.
	Consents      *Consents // nil if nothing was withdrawn.
	Stale         bool      // The last known answer, while the registry is away.
}

// Resolver says where a patient belongs; NotFound if nobody knows them.
type Resolver interface {
	Resolve(ctx context.Context, patient string) (Place, error)
}

// Registry is the part of the registry's client that is needed here.
type Registry interface {
	ResolveSubject(ctx context.Context, in *subjectpb.ResolveSubjectRequest, opts ...grpc.CallOption) (*subjectpb.ResolveSubjectResponse, error)
}

// Config bounds the cache.
type Config struct {
	Budget time.Duration `json:",default=500ms"` // For one question to the registry; the caller's shorter deadline wins.
	Fresh  time.Duration `json:",default=2s"`    // How long an answer serves without asking.
	Stale  time.Duration `json:",default=15m"`   // How long it serves while the registry is away.
}

// awayFor is how long the registry is not asked by callers that have a last
// known answer, after it failed to answer: they must not each wait for it.
const awayFor = time.Second

// maxKnown bounds the answers remembered.
const maxKnown = 200_000

// Cache is a Resolver that asks the registry and remembers.
type Cache struct {
	registry Registry
	config   Config
	now      func() time.Time

	mu    sync.Mutex
	known map[string]answer
	asks  map[string]*ask
	away  time.Time // The registry is taken to be away until then.
	aged  time.Time // Answers up to then are due to be asked anew.
}

type answer struct {
	place Place
	at    time.Time
}

// ask is one question under way, shared by all who want to know.
type ask struct {
	begun time.Time
	done  chan struct{}
	place Place
	err   error
}

var _ Resolver = (*Cache)(nil)

// NewCache makes a cache in front of the registry.
func NewCache(registry Registry, c Config) *Cache {
	return &Cache{registry: registry, config: c, now: time.Now, known: map[string]answer{}, asks: map[string]*ask{}}
}

// Resolve implements Resolver.
func (c *Cache) Resolve(ctx context.Context, patient string) (Place, error) {
	last, have := c.remembered(patient)
	if have && c.isFresh(last) {
		return last.place, nil
	}
	lastKnown := have && c.now().Sub(last.at) < c.config.Stale
	if lastKnown && c.isAway() {
		return stale(last.place), nil
	}
	place, err := c.askOnce(ctx, patient)
	if err == nil {
		return place, nil
	}
	if f := fault.From(err); f.Code == codes.NotFound || ctx.Err() != nil || !lastKnown {
		return Place{}, err
	}
	return stale(last.place), nil
}

func stale(p Place) Place {
	p.Stale = true
	return p
}

// Changed is the signal by which the registry says that a subject's state has
// changed: what is remembered then serves only while the registry is away.
const Changed = "subjects"

// Age makes every answer due to be asked anew.
func (c *Cache) Age() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aged = c.now()
	clear(c.asks) // Those who asked before get their answer; who comes now asks anew.
}

func (c *Cache) isFresh(a answer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now().Sub(a.at) < c.config.Fresh && a.at.After(c.aged)
}

func (c *Cache) remembered(patient string) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.known[patient]
	return a, ok
}

func (c *Cache) isAway() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now().Before(c.away)
}

// askOnce lets concurrent callers share one question per patient. The question
// has its own budget, so that one caller who leaves does not spoil it for others.
func (c *Cache) askOnce(ctx context.Context, patient string) (Place, error) {
	c.mu.Lock()
	q, under := c.asks[patient]
	if !under {
		q = &ask{done: make(chan struct{}), begun: c.now()}
		c.asks[patient] = q
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.config.Budget)
		go func() {
			defer cancel()
			c.ask(asking, patient, q)
		}()
	}
	c.mu.Unlock()
	select {
	case <-q.done:
		return q.place, q.err
	case <-ctx.Done():
		return Place{}, fault.From(ctx.Err())
	}
}

func (c *Cache) ask(ctx context.Context, patient string, q *ask) {
	resp, err := c.registry.ResolveSubject(ctx, &subjectpb.ResolveSubjectRequest{PatientId: patient})
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(q.done)
	if c.asks[patient] == q {
		delete(c.asks, patient)
	}
	if err != nil {
		q.err = c.failed(patient, fault.From(err))
		return
	}
	q.place = placeOf(resp)
	c.away = time.Time{}
	if len(c.known) >= maxKnown {
		clear(c.known) // Simpler than an order of use, and only ever a detour.
	}
	c.known[patient] = answer{place: q.place, at: q.begun}
}

// failed says what a failure means to those who wait, with the lock held.
func (c *Cache) failed(patient string, f *fault.Error) error {
	// What is no identifier is nobody's. It must not count as silence either, or
	// one caller's nonsense would make the registry look away to all.
	if f.Code == codes.NotFound || f.Code == codes.InvalidArgument {
		delete(c.known, patient)
		return Unseen()
	}
	c.away = c.now().Add(awayFor)
	return fault.Unavailable(fault.ReasonUnavailable, "the registry of subjects does not answer; send again", time.Second).Because(f)
}

func placeOf(r *subjectpb.ResolveSubjectResponse) Place {
	p := Place{Project: r.GetProjectId(), Site: r.GetSiteId()}
	if r.GetState() == subjectpb.SubjectState_WITHDRAWN {
		p.Withdrawn = r.GetWithdrawalTime().AsTime()
	}
	var gaps []Gap
	for _, g := range r.GetConsentGaps() {
		gap := Gap{Purpose: g.GetPurpose(), From: g.GetFromTime().AsTime()}
		if g.GetUntilTime() != nil {
			gap.Until = g.GetUntilTime().AsTime()
		}
		gaps = append(gaps, gap)
	}
	p.Consents = NewConsents(gaps)
	return p
}
