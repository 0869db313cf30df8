package rpcclient

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

var (
	inFlight = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clinsource_rpc_client_in_flight", Help: "Calls under way to a downstream service, by its etcd key.",
	}, []string{"downstream"})
	places = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clinsource_rpc_client_places", Help: "The most calls at once to a downstream service (MaxInFlight).",
	}, []string{"downstream"})
	refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_rpc_client_refused_total", Help: "Calls refused because every place to a downstream service was taken.",
	}, []string{"downstream"})
	attempts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_rpc_client_attempts_total", Help: "Attempts at calls, retries counted each, by gRPC code.",
	}, []string{"downstream", "code"})
	durations = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "clinsource_rpc_client_duration_seconds", Help: "Time of one attempt, as its caller saw it.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 12, 15, 60, 600},
	}, []string{"downstream"})
)

func init() { prometheus.MustRegister(inFlight, places, refused, attempts, durations) }

// attemptsTo counts and times the attempts of one client.
type attemptsTo string

var _ stats.Handler = attemptsTo("")

// TagRPC implements stats.Handler.
func (a attemptsTo) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (a attemptsTo) HandleRPC(_ context.Context, s stats.RPCStats) {
	if end, ok := s.(*stats.End); ok {
		attempts.WithLabelValues(string(a), status.Code(end.Error).String()).Inc()
		durations.WithLabelValues(string(a)).Observe(max(end.EndTime.Sub(end.BeginTime), time.Duration(0)).Seconds())
	}
}

// TagConn implements stats.Handler.
func (a attemptsTo) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (a attemptsTo) HandleConn(context.Context, stats.ConnStats) {}
