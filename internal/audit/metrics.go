package audit

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	sealed = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clinsource_audit_sealed_timestamp_seconds",
		Help: "When everything in the audit log was last found under a signed checkpoint.",
	}, []string{"db"})
	written = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clinsource_audit_written_timestamp_seconds",
		Help: "When all checkpoints were last found in the folder outside the database.",
	}, []string{"db"})
	sealErrors = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_audit_seal_errors_total",
		Help: "Failures to seal the audit log, to read its key, or to write its checkpoints.",
	}, []string{"db"})
	refusalsLost = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_audit_refusals_lost_total",
		Help: "Refusals that could not be recorded in the audit log.",
	}, []string{"db"})
	brokenLanes = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clinsource_audit_broken_lanes",
		Help: "Lanes of the audit log that no longer lead to their signed heads: somebody changed, removed or added records.",
	}, []string{"db"})
)
