package sqldb

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
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
)
