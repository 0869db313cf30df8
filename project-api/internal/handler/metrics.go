package handler

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"clinsource/project-api/internal/config"
)

var (
	requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_gateway_requests_total", Help: "Requests answered, by route pattern and status.",
	}, []string{"route", "status"})
	durations = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "clinsource_gateway_duration_seconds", Help: "Time to answer, by route pattern.",
		Buckets: []float64{.0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 12, 15, 60, 600}, // Each budget is an edge.
	}, []string{"route"})
	inFlight = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "clinsource_gateway_in_flight", Help: "Requests under way, up- and downloads included.",
	})
	received = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_gateway_received_bytes_total", Help: "Bytes of bodies read, by route pattern.",
	}, []string{"route"})
	sent = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_gateway_sent_bytes_total", Help: "Bytes of answers written, by route pattern.",
	}, []string{"route"})
	budgets = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clinsource_gateway_budget_seconds", Help: "The budgets in force.",
	}, []string{"call"})
	refusalsLost = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "clinsource_gateway_refusals_lost_total", Help: "Refusals that the audit log had not taken when the gateway stopped.",
	})
	ready = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clinsource_gateway_ready", Help: "1 while /readyz answers 200.",
	}, func() float64 {
		if leaving.Load() {
			return 0
		}
		return 1
	})
)

func init() {
	prometheus.MustRegister(requests, durations, inFlight, received, sent, budgets, refusalsLost, ready)
}

// showBudgets tells the table of budgets as metrics.
func showBudgets(b config.Budgets) {
	all := b.Calls()
	all["Idle"], all["Commit"], all["Request"] = b.Idle, b.Commit, b.Request
	for name, d := range all {
		budgets.WithLabelValues(name).Set(d.Seconds())
	}
}

// expect makes the series of a route before its first request, so that a rate
// over them is zero and not absent.
func expect(route string) {
	durations.WithLabelValues(route)
	received.WithLabelValues(route)
	sent.WithLabelValues(route)
	requests.WithLabelValues(route, "200")
}

// count adds one answered request to the metrics.
func count(st *state, took time.Duration) {
	requests.WithLabelValues(st.route, strconv.Itoa(st.status)).Inc()
	durations.WithLabelValues(st.route).Observe(took.Seconds())
	received.WithLabelValues(st.route).Add(float64(st.read.Load()))
	sent.WithLabelValues(st.route).Add(float64(st.written))
}

// counted is a request's body that notes what is read of it.
type counted struct {
	io.ReadCloser
	state *state
}

func (b counted) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.state.read.Add(int64(n))
	return n, err
}

// counting gives the request a body that is counted, if it has one.
func counting(r *http.Request, st *state) *http.Request {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = counted{r.Body, st}
	}
	return r
}
