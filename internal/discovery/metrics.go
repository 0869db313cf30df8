package discovery

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	addressesGauge = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clinsource_discovery_addresses",
		Help: "Addresses in use for a service key, last known good ones included.",
	}, []string{"key"})
	staleGauge = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clinsource_discovery_stale",
		Help: "1 while the addresses of a service key are not confirmed by etcd (away, or the key is empty).",
	}, []string{"key"})
	registeredGauge = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clinsource_discovery_registered",
		Help: "1 while etcd has confirmed this process's registration under a service key.",
	}, []string{"key"})
	contactGauge = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "clinsource_discovery_etcd_contact_timestamp_seconds",
		Help: "Unix time of the latest answer of etcd.",
	})
)

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
