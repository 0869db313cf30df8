package rpcserver

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
)

var (
	calls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_rpc_server_calls_total", Help: "Calls answered, streams included, by method and gRPC code.",
	}, []string{"method", "code"})
	durations = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "clinsource_rpc_server_duration_seconds", Help: "Time to answer, streams included, by method.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 12, 15, 60, 600}, // Each budget is an edge.
	}, []string{"method"})
	inFlight = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clinsource_rpc_server_in_flight", Help: "Calls and streams under way, by method.",
	}, []string{"method"})
	received = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_rpc_server_received_bytes_total", Help: "Bytes of messages received, by method.",
	}, []string{"method"})
	sent = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_rpc_server_sent_bytes_total", Help: "Bytes of messages sent, by method.",
	}, []string{"method"})
	limit = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "clinsource_rpc_server_limit_seconds", Help: "The most that a unary call may take (Timeout).",
	})
)

func init() { prometheus.MustRegister(calls, durations, inFlight, received, sent, limit) }

func observe(method string, code codes.Code, took time.Duration) {
	calls.WithLabelValues(method, code.String()).Inc()
	durations.WithLabelValues(method).Observe(took.Seconds())
}

// traffic counts bytes and calls under way, of the methods that there are: what
// else a peer asks for makes no series. Each method has its series from the start,
// so that a rate over them is zero and not absent.
type traffic map[string]*methodTraffic

type methodTraffic struct {
	inFlight       prometheus.Gauge
	received, sent prometheus.Counter
}

var _ stats.Handler = traffic(nil)

func trafficOf(register func(*grpc.Server)) traffic {
	probe := grpc.NewServer()
	register(probe)
	t := traffic{}
	for service, info := range probe.GetServiceInfo() {
		for _, m := range info.Methods {
			name := "/" + service + "/" + m.Name
			t[name] = &methodTraffic{inFlight: inFlight.WithLabelValues(name), received: received.WithLabelValues(name), sent: sent.WithLabelValues(name)}
			calls.WithLabelValues(name, codes.OK.String())
			durations.WithLabelValues(name)
		}
	}
	return t
}

func (t traffic) known(method string) bool { return t[method] != nil }

type trafficKey struct{}

// TagRPC implements stats.Handler.
func (t traffic) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, trafficKey{}, t[info.FullMethodName])
}

// HandleRPC implements stats.Handler.
func (t traffic) HandleRPC(ctx context.Context, s stats.RPCStats) {
	m, _ := ctx.Value(trafficKey{}).(*methodTraffic)
	if m == nil {
		return
	}
	switch s := s.(type) {
	case *stats.Begin:
		m.inFlight.Inc()
	case *stats.InPayload:
		m.received.Add(float64(s.Length))
	case *stats.OutPayload:
		m.sent.Add(float64(s.Length))
	case *stats.End:
		m.inFlight.Dec()
	}
}

// TagConn implements stats.Handler.
func (t traffic) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (t traffic) HandleConn(context.Context, stats.ConnStats) {}
