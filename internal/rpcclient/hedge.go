package rpcclient

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

var hedged = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "clinsource_rpc_client_hedges_total",
	Help: "Calls sent to a second replica because the first was slow, by etcd key and who answered first (first, second, nobody), or throttled.",
}, []string{"downstream", "outcome"})

func init() { prometheus.MustRegister(hedged) }

// hedger sends a call that has waited a quarter of its time to another replica
// as well, and takes the answer that comes first: a replica that hangs costs its
// callers a quarter of their budget and not the call. The first attempt is not
// given up, because it may be slow for good reasons. Every call that may be
// retried may be sent twice; a service with one replica is never sent anything
// twice, and keeps the whole budget.
type hedger struct {
	name   string
	tokens tokens
}

// hedgeAfter is the part of the remaining time after which the second is sent.
const hedgeAfter = 4

// newHedger bounds the second attempts: all calls that may be under way at once,
// as when a replica stops, and in the long run a tenth of the calls.
func newHedger(name string, burst int) *hedger {
	return &hedger{name: name, tokens: tokens{left: float64(burst), most: float64(burst)}}
}

func (h *hedger) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	deadline, _ := ctx.Deadline()
	message, ok := reply.(proto.Message)
	if !ok || observes(opts) || cc.GetMethodConfig(method).RetryPolicy == nil {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	h.tokens.earn()
	visited := &route{}
	first, second := &attempt{route: visited}, &attempt{route: visited}
	firstCtx, endFirst := context.WithCancel(context.WithValue(ctx, attemptKey{}, first))
	defer endFirst()
	secondCtx, endSecond := context.WithCancel(context.WithValue(ctx, attemptKey{}, second))
	defer endSecond()
	other := other{done: make(chan struct{})}
	timer := time.AfterFunc(time.Until(deadline)/hedgeAfter, func() {
		defer close(other.done)
		if secondCtx.Err() != nil || !visited.elsewhere() || !h.mayHedge() {
			return
		}
		other.reply = message.ProtoReflect().New().Interface()
		other.sent = true
		other.err = invoke(secondCtx, method, req, other.reply, cc, opts...)
		if other.err == nil || isAnswer(other.err) {
			first.outrun.Store(true)
			endFirst()
		}
	})
	err := invoke(firstCtx, method, req, reply, cc, opts...)
	if timer.Stop() {
		return err
	}
	if err == nil || isAnswer(err) {
		endSecond()
	}
	<-other.done
	return h.settle(message, err, &other)
}

// other is what became of the second attempt.
type other struct {
	done  chan struct{}
	sent  bool
	reply proto.Message
	err   error
}

func (h *hedger) settle(message proto.Message, err error, o *other) error {
	switch {
	case !o.sent:
		return err
	case err == nil || isAnswer(err):
		h.count("first")
		return err
	case o.err == nil:
		h.count("second")
		proto.Reset(message)
		proto.Merge(message, o.reply)
		return nil
	case isAnswer(o.err):
		h.count("second")
		return o.err
	}
	h.count("nobody")
	return err
}

func (h *hedger) count(outcome string) { hedged.WithLabelValues(h.name, outcome).Inc() }

func (h *hedger) mayHedge() bool {
	if h.tokens.take() {
		return true
	}
	h.count("throttled")
	return false
}

// observes says whether the call wants to know more of its one attempt than the
// reply; two attempts would write that at once.
func observes(opts []grpc.CallOption) bool {
	for _, o := range opts {
		switch o.(type) {
		case grpc.HeaderCallOption, grpc.TrailerCallOption, grpc.PeerCallOption, grpc.OnFinishCallOption:
			return true
		}
	}
	return false
}

// tokens bound what is done again: each call earns a tenth of one.
type tokens struct {
	mu         sync.Mutex
	left, most float64
}

func (t *tokens) earn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left = min(t.left+0.1, t.most)
}

func (t *tokens) take() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left < 1 {
		return false
	}
	t.left--
	return true
}
