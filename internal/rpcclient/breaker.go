package rpcclient

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"clinsource/internal/fault"
)

var (
	breakerOpen = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clinsource_rpc_client_breaker_open", Help: "1 while calls to a service that has been silent for long are refused at once, by its etcd key.",
	}, []string{"downstream"})
	breakerRefused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_rpc_client_breaker_refused_total", Help: "Calls refused at once by the breaker, by the service's etcd key.",
	}, []string{"downstream"})
)

func init() { prometheus.MustRegister(breakerOpen, breakerRefused) }

// breaker spares callers the wait for a service that has not answered anybody
// for long. It counts silence only: no connection, or no answer in fair time. Any
// answer, a refusal included, closes it; what a caller did itself (too little
// time, leaving, nonsense) counts for nothing. The threshold is a time and not a
// rate: for the first seconds of a silence each caller waits its own budget and
// is told the truth, that the time ran out.
type breaker struct {
	name string
	now  func() time.Time

	mu       sync.Mutex
	failures int       // Since the latest answer.
	since    time.Time // The first of them.
	latest   time.Time
	open     bool
	probe    time.Time // When the next call may go and look.
}

const (
	silentFor      = 5 * time.Second // How long nobody was answered.
	silentCalls    = 10              // How many were not.
	silenceForgets = 15 * time.Second
	probeEvery     = 500 * time.Millisecond
)

func newBreaker(name string) *breaker {
	breakerOpen.WithLabelValues(name).Set(0)
	return &breaker{name: name, now: time.Now}
}

// enter refuses, or lets pass: while open, one call every half second.
func (b *breaker) enter() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return nil
	}
	if now := b.now(); now.After(b.probe) {
		b.probe = now.Add(probeEvery)
		return nil
	}
	breakerRefused.WithLabelValues(b.name).Inc()
	return fault.Unavailable(fault.ReasonUnavailable, b.name+" has not answered for a while; back off and send again", time.Second)
}

// leave learns from a call that was let pass.
func (b *breaker) leave(err error, took time.Duration) {
	switch {
	case err == nil || isAnswer(err):
		b.answered()
	case isSilence(err, took):
		b.silent()
	}
}

func (b *breaker) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
	b.set(false)
}

func (b *breaker) silent() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if b.failures == 0 || now.Sub(b.latest) > silenceForgets {
		b.failures, b.since = 0, now
	}
	b.failures++
	b.latest = now
	if !b.open && b.failures >= silentCalls && now.Sub(b.since) >= silentFor {
		b.probe = now.Add(probeEvery)
		b.set(true)
	}
}

func (b *breaker) set(open bool) {
	if b.open == open {
		return
	}
	b.open = open
	value := 0.0
	if open {
		value = 1
	}
	breakerOpen.WithLabelValues(b.name).Set(value)
}

func (b *breaker) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if err := b.enter(); err != nil {
		return err
	}
	begun := b.now()
	err := invoke(ctx, method, req, reply, cc, opts...)
	b.leave(err, b.now().Sub(begun))
	return err
}

func (b *breaker) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	begun := b.now()
	inner, err := streamer(ctx, desc, cc, method, opts...)
	if err != nil {
		b.leave(err, b.now().Sub(begun))
		return nil, err
	}
	return &watchedStream{ClientStream: inner, breaker: b, begun: begun}, nil
}

// watchedStream tells the breaker how the stream answered, once.
type watchedStream struct {
	grpc.ClientStream
	breaker *breaker
	begun   time.Time
	told    sync.Once
}

func (s *watchedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	s.told.Do(func() { s.breaker.leave(err, s.breaker.now().Sub(s.begun)) })
	return err
}
