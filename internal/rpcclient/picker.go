package rpcclient

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/health" // Watches each replica's own word on its health.
	"google.golang.org/grpc/status"
)

// balancerName is the balancer of every client. go-zero's p2c_ewma takes heed of
// health checks too, but it learns of a replica only by answers: one that hangs
// gives none, and stays as good as it was for as long as calls may take. It also
// cannot be told which replicas a call has been to already.
const balancerName = "clinsource_replicas"

var ejections = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "clinsource_rpc_client_ejections_total", Help: "Replicas left out for a while because they failed or hung, by the service's etcd key.",
}, []string{"downstream"})

func init() {
	prometheus.MustRegister(ejections)
	balancer.Register(replicasBuilder{})
}

// When a replica is left out, and for how long. A single replica never is.
const (
	failuresToEject = 3
	ejectFirst      = 5 * time.Second
	ejectMost       = 30 * time.Second
)

type replicasBuilder struct{}

func (replicasBuilder) Name() string { return balancerName }

// Build makes a balancer that keeps what it knows of each address for as long as
// the connection lives, over reconnects and changes of the list.
func (replicasBuilder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	p := &pickers{known: map[string]*replica{}, ejected: ejections.WithLabelValues(opts.Target.Endpoint())}
	return base.NewBalancerBuilder(balancerName, p, base.Config{HealthCheck: true}).Build(cc, opts)
}

type pickers struct {
	known   map[string]*replica
	ejected prometheus.Counter
}

// Build is called, one call at a time, whenever the set of healthy replicas
// changes.
func (p *pickers) Build(info base.PickerBuildInfo) balancer.Picker {
	if len(info.ReadySCs) == 0 {
		return base.NewErrPicker(balancer.ErrNoSubConnAvailable)
	}
	next := &picker{}
	for conn, about := range info.ReadySCs {
		addr := about.Address.Addr
		if p.known[addr] == nil {
			p.known[addr] = &replica{addr: addr, ejected: p.ejected}
		}
		next.ready = append(next.ready, place{conn: conn, replica: p.known[addr]})
	}
	return next
}

// place is a replica and the connection to it that is in use now.
type place struct {
	conn balancer.SubConn
	*replica
}

type picker struct{ ready []place }

// Pick takes the cheaper of two replicas drawn by lot, of those where the call
// has not been and that are not left out for now; if there is none, of any.
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	a := attemptOf(info.Ctx)
	now := time.Now()
	candidates := p.ready
	if len(p.ready) > 1 {
		fresh := keep(p.ready, func(r place) bool { return !a.hasBeenTo(r.addr) })
		candidates = keep(fresh, func(r place) bool { return r.admits(now) })
		if len(candidates) == 0 {
			candidates = fresh
		}
		if len(candidates) == 0 {
			candidates = p.ready
		}
	}
	chosen := cheaperOfTwo(candidates, now)
	chosen.begin()
	a.goesTo(chosen.addr, len(p.ready))
	return balancer.PickResult{SubConn: chosen.conn, Done: func(done balancer.DoneInfo) {
		chosen.end(a, now, time.Now(), done.Err)
	}}, nil
}

func keep(all []place, wanted func(place) bool) []place {
	kept := make([]place, 0, len(all))
	for _, r := range all {
		if wanted(r) {
			kept = append(kept, r)
		}
	}
	return kept
}

// cheaperOfTwo takes the one that has less to do, and of equals either; but one
// that takes far longer only when the other has that much more to do.
func cheaperOfTwo(from []place, now time.Time) place {
	i := rand.IntN(len(from))
	if len(from) == 1 {
		return from[i]
	}
	j := (i + 1 + rand.IntN(len(from)-1)) % len(from)
	a, b := from[i].load(now), from[j].load(now)
	if a.took > alike*b.took || b.took > alike*a.took {
		if b.took*(b.calls+1) < a.took*(a.calls+1) {
			return from[j]
		}
		return from[i]
	}
	if b.calls < a.calls {
		return from[j]
	}
	return from[i]
}

// replica is what the client knows of one address.
type replica struct {
	addr    string
	ejected prometheus.Counter

	mu       sync.Mutex
	inFlight int
	took     float64 // Of a call, a moving average in nanoseconds.
	learnt   time.Time
	failures int       // In a row.
	outUntil time.Time // Left out until then.
	outFor   time.Duration
}

const (
	weightOfOne = 0.2         // Of one call in the average.
	forgetHalf  = time.Second // What was learnt counts half after this: the slow are asked again.
	floor       = float64(time.Millisecond)
	alike       = 3 // Times as long, and less, is no difference.
)

// load is what there is to know for a choice.
type load struct{ calls, took float64 }

func (r *replica) load(now time.Time) load {
	r.mu.Lock()
	defer r.mu.Unlock()
	return load{calls: float64(r.inFlight), took: max(floor, r.usually(now))}
}

// usually is what calls took, as far as that still counts.
func (r *replica) usually(now time.Time) float64 {
	return r.took * math.Exp2(-float64(now.Sub(r.learnt))/float64(forgetHalf))
}

// admits says whether the replica is in. One whose time out is over gets a call
// at a time, until one of them was answered.
func (r *replica) admits(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outUntil.IsZero() {
		return true
	}
	return now.After(r.outUntil) && r.inFlight == 0
}

func (r *replica) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight++
}

// end learns from an attempt. What the caller did (left, gave little time, sent
// nonsense) says nothing against the replica.
func (r *replica) end(a *attempt, begun, now time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight--
	took := now.Sub(begun)
	switch {
	case a == nil: // A stream takes as long as its image is large.
		if err == nil || isAnswer(err) {
			r.answered()
		} else if status.Code(err) == codes.Unavailable {
			r.failed(now)
		}
	case err == nil || isAnswer(err):
		r.answered()
		r.learn(took, now)
	case isSilence(err, took) || a.outrun.Load():
		r.failed(now)
		if status.Code(err) != codes.Unavailable { // A refused connection is quick, which is no merit.
			r.learn(took, now)
		}
	}
}

func (r *replica) learn(took time.Duration, now time.Time) {
	before := r.usually(now)
	r.took, r.learnt = before+weightOfOne*(float64(took)-before), now
}

func (r *replica) answered() { r.failures, r.outUntil, r.outFor = 0, time.Time{}, 0 }

func (r *replica) failed(now time.Time) {
	r.failures++
	if r.failures < failuresToEject || now.Before(r.outUntil) {
		return
	}
	r.outFor = min(max(ejectFirst, 2*r.outFor), ejectMost)
	r.outUntil = now.Add(r.outFor)
	r.ejected.Inc()
}

// route is where one call has been, with all its attempts.
type route struct {
	mu    sync.Mutex
	been  []string
	ready int // Replicas that were there to choose from at the latest pick.
}

// attempt is one sending of a call; grpc's own retries are part of it.
type attempt struct {
	route  *route
	outrun atomic.Bool // Another attempt has answered meanwhile.
}

type attemptKey struct{}

func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

func (a *attempt) hasBeenTo(addr string) bool {
	if a == nil {
		return false
	}
	a.route.mu.Lock()
	defer a.route.mu.Unlock()
	return slices.Contains(a.route.been, addr)
}

func (a *attempt) goesTo(addr string, ready int) {
	if a == nil {
		return
	}
	a.route.mu.Lock()
	defer a.route.mu.Unlock()
	a.route.been = append(a.route.been, addr)
	a.route.ready = ready
}

// elsewhere says whether there is a replica that the call has not been to.
func (r *route) elsewhere() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready > len(r.been)
}
