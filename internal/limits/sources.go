package limits

import (
	"net/netip"
	"sync"
	"time"
)

// What a refusal costs of its source's allowance.
const (
	costMissing = 1
	costInvalid = 10
)

// Of lockouts. The first is a second; each that follows within forgiveAfter of
// the last refusal is twice as long. At its end the source has a tenth of its
// allowance.
const (
	firstLockout = time.Second
	maxLockout   = time.Minute
	forgiveAfter = 10 * time.Minute
	afterLockout = 0.1
	maxSources   = 20_000
)

// sources counts refusals by source address, and by source address and the
// caller that a refused token named, if that is one we know.
type sources struct {
	size float64 // The allowance, and what comes back of it in a minute.
	now  func() time.Time

	mu    sync.Mutex
	known map[string]*source
}

type source struct {
	bucket
	lockouts int
	until    time.Time // Locked out before it.
}

// lockedFor is how long the source has to wait; 0: it is not locked out.
func (s *sources) lockedFor(name string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it := s.known[name]; it != nil {
		return max(0, it.until.Sub(s.now()))
	}
	return 0
}

// refused takes the cost from the source's allowance, and gives how long it is
// locked out for that; 0: it is not.
func (s *sources) refused(name string, cost float64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	it := s.known[name]
	if it == nil || now.Sub(it.at) > forgiveAfter && now.After(it.until) {
		s.makeRoom(now)
		it = &source{}
		s.known[name] = it
	}
	if now.Before(it.until) { // Verified before the lockout began.
		return 0
	}
	it.refill(now, s.size/60, s.size)
	if it.left -= cost; it.left >= 0 {
		return 0
	}
	locked := min(maxLockout, firstLockout<<min(it.lockouts, 10))
	it.lockouts++
	it.left, it.until = s.size*afterLockout, now.Add(locked)
	it.at = it.until
	return locked
}

// makeRoom forgets what is forgiven; without any, some source.
func (s *sources) makeRoom(now time.Time) {
	const looks = 16 // In no order, so that it costs the same however many there are.
	n := 0
	for name, it := range s.known {
		full := len(s.known) >= maxSources
		if now.Sub(it.at) > forgiveAfter || full && n == looks-1 {
			delete(s.known, name)
		}
		if n++; n == looks {
			return
		}
	}
}

// Source names the address of a connection ("host:port") for its allowance: IPv4
// as it is, of IPv6 the /64 that one subscriber has.
func Source(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	network, err := addr.Prefix(64)
	if err != nil {
		return addr.String()
	}
	return network.String()
}
