package accounts_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/internal/accounts"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
)

// registry counts the questions, and answers as it is told, after some time.
type registry struct {
	asked   atomic.Int64
	mu      sync.Mutex
	account auth.Account
	err     error
	takes   time.Duration
}

func (r *registry) set(a auth.Account, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.account, r.err = a, err
}

func (r *registry) ask(ctx context.Context, _, _ string) (auth.Account, error) {
	r.asked.Add(1)
	select {
	case <-time.After(r.takes):
	case <-ctx.Done():
		return auth.Account{}, fault.From(ctx.Err())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.account, r.err
}

var (
	disabled = auth.Account{Disabled: true}
	errAway  = errors.New("away")
)

// is asks, and holds the answer, the number of questions so far and the time it
// took against what is wanted.
func is(t *testing.T, c *accounts.Cache, r *registry, want bool, asked int64, took time.Duration) {
	t.Helper()
	start := time.Now()
	a, err := c.Account(t.Context(), "i", "u")
	if err != nil || a.Disabled != want || time.Since(start) != took {
		t.Errorf("%+v, %v after %v; want disabled: %v after %v", a, err, time.Since(start), want, took)
	}
	synctest.Wait()
	if n := r.asked.Load(); n != asked {
		t.Errorf("%d questions, want %d", n, asked)
	}
}

// Shows R24.
func TestAChangeCountsWithinItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &registry{takes: 10 * time.Millisecond}
		c := accounts.NewCache(r.ask)
		is(t, c, r, false, 1, 10*time.Millisecond)
		is(t, c, r, false, 1, 0)
		r.set(disabled, nil)
		time.Sleep(accounts.Fresh - 10*time.Millisecond)
		is(t, c, r, false, 2, 0) // Nobody waits: another answer is asked for beside it.
		time.Sleep(20 * time.Millisecond)
		is(t, c, r, true, 2, 0)
		r.set(auth.Account{}, nil)
		time.Sleep(accounts.MaxAge)
		is(t, c, r, false, 3, 10*time.Millisecond) // Too old to be given once more.
	})
}

// Shows R24.
func TestASignalCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &registry{takes: 10 * time.Millisecond}
		c := accounts.NewCache(r.ask)
		is(t, c, r, false, 1, 10*time.Millisecond)
		r.set(disabled, nil)
		time.Sleep(time.Millisecond)
		c.Age()
		time.Sleep(time.Millisecond)
		is(t, c, r, true, 2, 10*time.Millisecond)
		is(t, c, r, true, 2, 0)
	})
}

func TestWhileTheRegistryIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &registry{takes: time.Hour}
		c := accounts.NewCache(r.ask)
		_, err := c.Account(t.Context(), "i", "u")
		if f := fault.From(err); f == nil || f.Code != codes.Unavailable {
			t.Errorf("of an account that nobody has heard of: %v", err)
		}
		r.takes = 0
		time.Sleep(time.Second)
		is(t, c, r, false, 2, 0)
		r.takes = time.Hour
		time.Sleep(time.Minute)
		is(t, c, r, false, 3, accounts.Budget) // The first one waits.
		is(t, c, r, false, 3, 0)               // The others do not.
		time.Sleep(2 * time.Second)
		is(t, c, r, false, 4, 0)
		time.Sleep(accounts.Stale)
		if _, err := c.Account(t.Context(), "i", "u"); err == nil {
			t.Error("the last known answer serves for ever")
		}
		r.takes = 0
		r.set(disabled, nil)
		time.Sleep(2 * time.Second)
		is(t, c, r, true, 6, 0)
	})
}

func TestCallersShareOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &registry{takes: 100 * time.Millisecond}
		c := accounts.NewCache(r.ask)
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				if _, err := c.Account(t.Context(), "i", "u"); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if n := r.asked.Load(); n != 1 {
			t.Errorf("%d questions", n)
		}
	})
}

// TestWhoIsWho: neither another issuer's account of the same name, nor a refusal of
// one caller's name, is this account's answer.
func TestWhoIsWho(t *testing.T) {
	c := accounts.NewCache(func(_ context.Context, issuer, subject string) (auth.Account, error) {
		if subject == "" {
			return auth.Account{}, fault.InvalidFields([]fault.Violation{{Field: "sub"}})
		}
		return auth.Account{Disabled: issuer == "a"}, nil
	})
	for issuer, want := range map[string]bool{"a": true, "b": false} {
		if got, err := c.Account(t.Context(), issuer, "u"); err != nil || got.Disabled != want {
			t.Errorf("%s: %+v, %v", issuer, got, err)
		}
	}
	if _, err := c.Account(t.Context(), "a", ""); err == nil {
		t.Error("an account without a name has an answer")
	}
	if _, err := c.Account(t.Context(), "c", "u"); err != nil {
		t.Error("one caller's nonsense makes the registry look away:", err)
	}
}

func TestResolve(t *testing.T) {
	own := []auth.Grant{{Role: auth.Monitor, Project: "p"}}
	stored := auth.Account{Grants: []auth.Grant{{Role: auth.Coordinator, Project: "q", Sites: []string{"s"}}}}
	for name, c := range map[string]struct {
		issuer  string
		own     []auth.Grant
		account auth.Account
		err     error
		grants  int
		reason  string
	}{
		"a hospital's, granted":       {"h", nil, stored, nil, 1, ""},
		"a hospital's, unheard of":    {"h", nil, auth.Account{}, nil, 0, ""},
		"a hospital's, disabled":      {"h", nil, disabled, nil, 0, fault.ReasonAccountDisabled},
		"a hospital's, registry away": {"h", nil, auth.Account{}, errAway, 0, fault.ReasonInternal},
		"development":                 {auth.DevIssuer, own, auth.Account{}, nil, 1, ""},
		"development, granted too":    {auth.DevIssuer, own, stored, nil, 2, ""},
		"development, disabled":       {auth.DevIssuer, own, disabled, nil, 0, fault.ReasonAccountDisabled},
		"development, registry away":  {auth.DevIssuer, own, auth.Account{}, errAway, 1, ""},
		"development, of nothing":     {auth.DevIssuer, nil, auth.Account{}, errAway, 0, fault.ReasonInternal},
	} {
		source := auth.AccountSourceFunc(func(context.Context, string, string) (auth.Account, error) { return c.account, c.err })
		u, err := auth.Resolve(t.Context(), source, &auth.User{Issuer: c.issuer, Subject: "u", Grants: c.own})
		switch {
		case c.reason != "" && fault.From(err).Reason != c.reason:
			t.Errorf("%s: %v, want %s", name, err, c.reason)
		case c.reason == "" && (err != nil || len(u.Grants) != c.grants || u.Subject != "u" || u.Issuer != c.issuer):
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
}

func BenchmarkAccount(b *testing.B) {
	c := accounts.NewCache(func(context.Context, string, string) (auth.Account, error) { return auth.Account{}, nil })
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Account(b.Context(), "i", "u"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
