// Package accounts answers, for every process that takes a token: what may this
// account do? The registry (subject-rpc) keeps grants and disabled accounts; Cache
// asks it and remembers.
//
// A change counts at once where the registry's signal through etcd (Changed, Age)
// comes through, and without it after Fresh, by the next call: an answer older than
// that is still given to the call that finds it, while a new one is asked for
// beside it, but none older than MaxAge. So a change counts within MaxAge, and a
// caller who keeps calling never waits for the registry.
//
// While the registry does not answer, the last known answer serves for Stale.
package accounts

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
)

// The bounds. They are no configuration: what may pass between a revocation and
// its effect is a promise (docs/access.md).
const (
	Fresh  = 2 * time.Second        // How long an answer serves without asking.
	MaxAge = 4 * time.Second        // How long it serves while another is asked for.
	Stale  = 15 * time.Minute       // How long it serves while the registry is away.
	Budget = 400 * time.Millisecond // For one question: with the one about a subject, within a read's budget of 1 s.
	again  = time.Second            // How long a registry that is away is left in peace.
	most   = 100_000                // Answers remembered.
)

// Changed is the signal by which the registry says that a grant or an account has
// changed.
const Changed = "accounts"

// Ask is one question to the registry.
type Ask func(ctx context.Context, issuer, subject string) (auth.Account, error)

// Cache is an auth.AccountSource that asks and remembers.
type Cache struct {
	ask Ask

	mu    sync.Mutex
	known map[id]answer
	asks  map[id]*question
	away  bool      // The last question was not answered.
	next  time.Time // If away: when to ask again.
	aged  time.Time // Answers up to then serve only while the registry is away.
}

type id struct{ issuer, subject string }

type answer struct {
	account auth.Account
	at      time.Time
}

// question is one under way, shared by all who want to know.
type question struct {
	begun   time.Time
	done    chan struct{}
	account auth.Account
	err     error
}

var _ auth.AccountSource = (*Cache)(nil)

// NewCache makes a cache in front of the registry.
func NewCache(ask Ask) *Cache {
	return &Cache{ask: ask, known: map[id]answer{}, asks: map[id]*question{}}
}

// Age makes every answer due to be asked anew, before it is given again.
func (c *Cache) Age() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aged = time.Now()
	clear(c.asks) // Those who asked before get their answer; who comes now asks anew.
}

// Account implements auth.AccountSource.
func (c *Cache) Account(ctx context.Context, issuer, subject string) (auth.Account, error) {
	who := id{issuer, subject}
	last, have, q := c.look(ctx, who)
	if q == nil {
		return last.account, nil
	}
	select {
	case <-q.done:
	case <-ctx.Done():
		return auth.Account{}, fault.From(ctx.Err())
	}
	if q.err != nil && have && time.Since(last.at) < Stale {
		return last.account, nil
	}
	return q.account, q.err
}

// look gives the last known answer, and the question to wait for unless that
// answer will do.
func (c *Cache) look(ctx context.Context, who id) (answer, bool, *question) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, have := c.known[who]
	now := time.Now()
	age, current := now.Sub(last.at), have && last.at.After(c.aged)
	switch {
	case current && age < Fresh:
		return last, have, nil
	case have && c.away && age < Stale:
		if now.After(c.next) {
			c.askFor(ctx, who)
		}
		return last, have, nil
	}
	q := c.askFor(ctx, who)
	if current && age < MaxAge {
		return last, have, nil
	}
	return last, have, q
}

// askFor gives the question about the account that is under way, or begins it, with
// the lock held. It has its own budget, so that one caller who leaves does not
// spoil it for others.
func (c *Cache) askFor(ctx context.Context, who id) *question {
	if q := c.asks[who]; q != nil {
		return q
	}
	q := &question{done: make(chan struct{}), begun: time.Now()}
	c.asks[who] = q
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), Budget)
	go func() {
		defer cancel()
		account, err := c.ask(asking, who.issuer, who.subject)
		c.answered(who, q, account, err)
	}()
	return q
}

func (c *Cache) answered(who id, q *question, account auth.Account, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(q.done)
	if c.asks[who] == q {
		delete(c.asks, who)
	}
	if err != nil {
		// What cannot be asked for is one caller's fault, and no sign of absence.
		if f := fault.From(err); f.Code != codes.InvalidArgument {
			c.away, c.next = true, time.Now().Add(again)
		}
		q.err = fault.Unavailable(fault.ReasonUnavailable, "the registry of accounts does not answer; send again", time.Second).Because(err)
		return
	}
	q.account, c.away = account, false
	if len(c.known) >= most {
		clear(c.known) // Simpler than an order of use, and only ever a detour.
	}
	if last, ok := c.known[who]; !ok || last.at.Before(q.begun) {
		c.known[who] = answer{account: account, at: q.begun}
	}
}
