package mtls

import (
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	expiryDesc = prometheus.NewDesc(
		"clinsource_tls_cert_expiry_timestamp_seconds",
		"Unix time at which the certificate in use from this file expires; of a CA bundle, the first to expire.",
		[]string{"file"}, nil)

	reloadErrors = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_tls_reload_errors_total",
		Help: "Looks at changed certificate files that could not replace the certificate in use.",
	}, []string{"file"})

	exported = &expiries{sources: map[paths]*source{}}
)

func init() {
	prometheus.MustRegister(exported, reloadErrors)
}

// expiries exports the expiry of every file in use. It looks at the files
// when it is scraped, so that a process without new connections still reports
// a rotation. Files of one base name (a process reads the same CA for several
// clients) are one series, the earliest expiry.
type expiries struct {
	mu      sync.Mutex
	sources map[paths]*source
}

// add replaces a source of the same files: the number of series and of kept
// sources is that of the configured files, however often clients are rebuilt.
func (e *expiries) add(s *source) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sources[s.paths] = s
}

// Describe implements prometheus.Collector.
func (e *expiries) Describe(ch chan<- *prometheus.Desc) { ch <- expiryDesc }

// Collect implements prometheus.Collector.
func (e *expiries) Collect(ch chan<- prometheus.Metric) {
	for file, at := range e.byFile() {
		ch <- prometheus.MustNewConstMetric(expiryDesc, prometheus.GaugeValue, float64(at.Unix()), file)
	}
}

func (e *expiries) byFile() map[string]time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	earliest := map[string]time.Time{}
	note := func(path string, at time.Time) {
		file := filepath.Base(path)
		if old, ok := earliest[file]; !ok || at.Before(old) {
			earliest[file] = at
		}
	}
	for p, s := range e.sources {
		m := s.current()
		note(p.cert, m.pair.Leaf.NotAfter)
		if p.ca != "" {
			note(p.ca, m.caExpiry)
		}
	}
	return earliest
}
