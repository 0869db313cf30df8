package limits

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
)

// bearer takes tokens whose last part is "good", and counts what it is asked.
type bearer struct{ asked atomic.Int64 }

func (b *bearer) Verify(_ context.Context, authorization string) (*auth.User, error) {
	b.asked.Add(1)
	issuer, subject := auth.Claimed(authorization)
	switch _, kind, _ := cutLast(authorization, "."); {
	case authorization == "":
		return nil, fault.Unauthenticated(fault.ReasonTokenMissing, "")
	case kind == "good":
		return &auth.User{Issuer: issuer, Subject: subject}, nil
	case kind == "late":
		return nil, fault.Unauthenticated(fault.ReasonTokenInvalid, "").Because(auth.ErrExpired)
	case kind == "away":
		return nil, fault.Unavailable(fault.ReasonIssuerAway, "", time.Second)
	default:
		return nil, fault.Unauthenticated(fault.ReasonTokenInvalid, "")
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// token of a subject; n makes it another one.
func token(subject, kind string, n int) string {
	payload := fmt.Sprintf(`{"iss":"i","sub":%q,"n":%d}`, subject, n)
	return "Bearer h." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + "." + kind
}

type fixture struct {
	*Gate
	*bearer
	now  time.Time
	told []time.Duration
}

func gate(t *testing.T, c Config) *fixture {
	t.Helper()
	f := &fixture{bearer: &bearer{}, now: time.Unix(1e9, 0)}
	var err error
	if f.Gate, err = New(c, f.bearer); err != nil {
		t.Fatal(err)
	}
	f.Gate.now = func() time.Time { return f.now }
	f.LockedOut = func(_ string, lasts time.Duration) { f.told = append(f.told, lasts) }
	return f
}

// try admits one request that ends at once, and gives the reason of a refusal.
func (f *fixture) try(t *testing.T, source, authorization string) string {
	t.Helper()
	_, leave, err := f.Admit(t.Context(), source, authorization)
	if err != nil {
		got := fault.From(err)
		if got.Code == codes.ResourceExhausted && got.RetryAfter <= 0 {
			t.Errorf("%s without a hint when to come again", got.Reason)
		}
		return got.Reason
	}
	leave()
	return ""
}

func (f *fixture) want(t *testing.T, what, source, authorization, reason string) {
	t.Helper()
	if got := f.try(t, source, authorization); got != reason {
		t.Errorf("%s: %q, want %q", what, got, reason)
	}
}

func TestACallersRate(t *testing.T) {
	f := gate(t, Config{PerSecond: 10, Burst: 20})
	for range 20 {
		f.want(t, "within the burst", "a", token("u", "good", 0), "")
	}
	f.want(t, "over it", "a", token("u", "good", 0), fault.ReasonCallerLimit)
	f.want(t, "with another token", "b", token("u", "good", 1), fault.ReasonCallerLimit)
	f.want(t, "somebody else, of the same address", "a", token("v", "good", 0), "")
	f.now = f.now.Add(time.Second)
	for range 10 {
		f.want(t, "a second later", "a", token("u", "good", 0), "")
	}
	f.want(t, "over it again", "a", token("u", "good", 0), fault.ReasonCallerLimit)
}

func TestACallersRequestsAtOnce(t *testing.T) {
	f := gate(t, Config{AtOnce: 3})
	var leaves []func()
	for range 3 {
		_, leave, err := f.Admit(t.Context(), "a", token("u", "good", 0))
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	f.want(t, "a fourth", "a", token("u", "good", 0), fault.ReasonCallerLimit)
	f.want(t, "somebody else", "a", token("v", "good", 0), "")
	leaves[0]()
	leaves[0]() // Once is all that counts.
	f.want(t, "when one has left", "a", token("u", "good", 0), "")
	_, leave, err := f.Admit(t.Context(), "a", token("u", "good", 0))
	if err != nil {
		t.Fatal(err)
	}
	f.want(t, "full again", "a", token("u", "good", 0), fault.ReasonCallerLimit)
	leave()
}

// The shipped limits are far from what an honest app does.
func TestDefaults(t *testing.T) {
	f := gate(t, Config{})
	var all sync.WaitGroup
	hold := make(chan struct{})
	var failed atomic.Int64
	for n := range 1_000 {
		all.Go(func() {
			_, leave, err := f.Admit(t.Context(), "a", token("u", "good", n))
			if err != nil {
				failed.Add(1)
				return
			}
			<-hold
			leave()
		})
	}
	time.AfterFunc(50*time.Millisecond, func() { close(hold) })
	all.Wait()
	if failed.Load() != 0 {
		t.Errorf("%d of 1000 requests at once of one caller are refused", failed.Load())
	}
	if _, err := New(Config{AtOnce: -1}, f.bearer); err == nil {
		t.Error("a limit is turned off")
	}
}

func TestGuessingLocksTheSourceOut(t *testing.T) {
	f := gate(t, Config{Refusals: 100})
	f.want(t, "a token that is good", "nat", token("nurse", "good", 0), "")
	for n := range 10 {
		f.want(t, "a guess", "nat", token("x", "bad", n), fault.ReasonTokenInvalid)
	}
	f.want(t, "one too many", "nat", token("x", "bad", 10), fault.ReasonTokenInvalid)
	asked := f.asked.Load()
	for n := range 1_000 {
		f.want(t, "locked out", "nat", token("x", "bad", n), fault.ReasonLockedOut)
		f.want(t, "locked out without a token", "nat", "", fault.ReasonLockedOut)
	}
	f.want(t, "a new caller's token, unseen", "nat", token("new", "good", 0), fault.ReasonLockedOut)
	if f.asked.Load() != asked {
		t.Errorf("%d tokens were verified during the lockout", f.asked.Load()-asked)
	}
	f.want(t, "another address", "home", token("x", "bad", 0), fault.ReasonTokenInvalid)
	f.want(t, "the same address, the token that was good", "nat", token("nurse", "good", 0), "")
	f.want(t, "and its successor", "nat", token("nurse", "good", 1), "")
	// Guesses in the name of somebody known have an allowance of their own.
	locked := false
	for n := range 20 {
		locked = f.try(t, "nat", token("nurse", "bad", n)) == fault.ReasonLockedOut || locked
	}
	if !locked {
		t.Error("guessing in a known caller's name goes on")
	}
	f.want(t, "their own token still", "nat", token("nurse", "good", 0), "")
}

func TestLockoutsGrowAndEnd(t *testing.T) {
	f := gate(t, Config{Refusals: 100})
	for range 8 {
		for f.try(t, "a", token("x", "bad", 0)) != fault.ReasonLockedOut {
		}
		f.now = f.now.Add(f.sources.lockedFor("a"))
	}
	want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60}
	for i, lasts := range f.told {
		if lasts != want[i]*time.Second {
			t.Errorf("lockout %d lasts %v, want %d s", i, lasts, want[i])
		}
	}
	f.want(t, "at its end", "a", token("u", "good", 0), "")
	f.now = f.now.Add(forgiveAfter + time.Second)
	for f.try(t, "a", token("x", "bad", 0)) != fault.ReasonLockedOut {
	}
	if last := f.told[len(f.told)-1]; last != time.Second {
		t.Errorf("after %v of peace a lockout lasts %v", forgiveAfter, last)
	}
}

func TestWhatIsNoGuess(t *testing.T) {
	f := gate(t, Config{Refusals: 100})
	for range 100 {
		f.want(t, "no token", "missing", "", fault.ReasonTokenMissing)
		f.want(t, "expired", "late", token("u", "late", 0), fault.ReasonTokenInvalid)
		f.want(t, "its issuer is away", "away", token("u", "away", 0), fault.ReasonIssuerAway)
	}
	for range 1_000 { // The gateway, for all its callers.
		f.want(t, "through a relay", "", token("x", "bad", 0), fault.ReasonTokenInvalid)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	f := gate(t, Config{Refusals: 100})
	for n := range maxSources + 5_000 {
		f.try(t, fmt.Sprint(n), token("x", "bad", n))
		f.try(t, "", token(fmt.Sprint(n), "good", n))
	}
	for n := range maxCallers {
		f.try(t, "", token(fmt.Sprint("more", n), "good", n))
	}
	g := f.Gate
	if len(g.sources.known) > maxSources+1 || len(g.callers.known) > maxCallers || len(g.known) > maxKnown+1 || len(g.trying.known) > maxCallers {
		t.Errorf("%d sources, %d callers, %d known, %d trying are kept", len(g.sources.known), len(g.callers.known), len(g.known), len(g.trying.known))
	}
}

func TestSource(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:123": "192.0.2.7", "[::ffff:192.0.2.7]:1": "192.0.2.7", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64", "[fe80::1%eth0]:5": "fe80::/64", "@": "@",
	} {
		if got := Source(remote); got != want {
			t.Errorf("%s is of %s, want %s", remote, got, want)
		}
	}
}
