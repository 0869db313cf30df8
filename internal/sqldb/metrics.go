package sqldb

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"clinsource/internal/telemetry"
)

var (
	commitSize = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "clinsource_sqldb_commit_size",
		Help:    "Write functions that shared one commit.",
		Buckets: prometheus.ExponentialBuckets(1, 2, 9), // 1 to 256
	}, []string{"db"})

	commitSeconds = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "clinsource_sqldb_commit_seconds",
		Help:    "Time from BEGIN to the end of COMMIT, sync included.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12), // 0.1 ms to 2.4 s
	}, []string{"db"})

	queueDepth = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clinsource_sqldb_queue_depth",
		Help: "Write functions that wait to be run.",
	}, []string{"db"})

	queueLimit = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clinsource_sqldb_queue_limit",
		Help: "The most write functions that may wait; more are refused.",
	}, []string{"db"})

	refusedWrites = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_sqldb_refused_total",
		Help: "Writes refused because the commit queue was full.",
	}, []string{"db"})

	writeSeconds = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "clinsource_sqldb_write_seconds",
		Help:    "Time from a write's call to its answer: the wait in the queue and the commit.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5},
	}, []string{"db"})
)

// expect makes a database's series before their first event, and watches its file
// and the disk around it, if it is one.
func expect(cfg Config) {
	queueLimit.WithLabelValues(cfg.Name).Set(float64(cfg.Queue))
	refusedWrites.WithLabelValues(cfg.Name)
	writeSeconds.WithLabelValues(cfg.Name)
	if cfg.Path != "" {
		watchFile(cfg)
	}
}

// observeWrite measures one write, and makes it a span of its caller's trace.
func observeWrite(ctx context.Context, db string, write func(context.Context) error) error {
	ctx, span := telemetry.Begin(ctx, "sql write", db)
	start := time.Now()
	err := write(ctx)
	writeSeconds.WithLabelValues(db).Observe(time.Since(start).Seconds())
	if errors.Is(err, ErrBusy) {
		refusedWrites.WithLabelValues(db).Inc()
	}
	span.EndWith(err)
	return err
}
