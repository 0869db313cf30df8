package telemetry

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

var build = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "clinsource_build_info", Help: "1; its labels say which build of which process this is.",
}, []string{"service", "version", "go_version"})

// VersionKey is the metadata in which the answer to a gRPC health check says which
// build answers.
const VersionKey = "clinsource-version"

func init() { prometheus.MustRegister(build) }

func identify(service string) {
	build.WithLabelValues(service, Version(), runtime.Version()).Set(1)
}

// Version is the version of this binary as its build stamped it: a tag, or the
// time and hash of a commit.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
