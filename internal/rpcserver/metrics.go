package rpcserver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

var (
	calls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_rpc_server_calls_total", Help: "Calls answered, streams included, by method and gRPC code.",
	}, []string{"method", "code"})
	durations = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "clinsource_rpc_server_duration_seconds", Help: "Time to answer, streams included, by method.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600},
	}, []string{"method"})
)

func init() { prometheus.MustRegister(calls, durations) }

func observe(method string, code codes.Code, took time.Duration) {
	calls.WithLabelValues(method, code.String()).Inc()
	durations.WithLabelValues(method).Observe(took.Seconds())
}
