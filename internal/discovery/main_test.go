package discovery

import (
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

// quick is the production code at five times the speed; 2 s is the shortest
// lease that etcd gives.
var quick = pace{
	lease:    2 * time.Second,
	relist:   time.Second,
	call:     time.Second,
	grace:    200 * time.Millisecond,
	retryMin: 50 * time.Millisecond,
	retryMax: 300 * time.Millisecond,
}

// TestMain doubles as a go-zero process (see gozero_test.go): core/discov never
// closes its connections, so it may not run where leaks are looked for.
func TestMain(m *testing.M) {
	if role := os.Getenv(goZeroRole); role != "" {
		runGoZero(role)
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(), goleak.Cleanup(func(code int) {
		if ownEtcdDir != "" {
			_ = os.RemoveAll(ownEtcdDir)
		}
		os.Exit(code)
	}))
}

func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// gauge reads a metric as Prometheus would; -1 when it is not exported.
func gauge(t *testing.T, name, key string) float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == key {
				return m.GetGauge().GetValue()
			}
		}
	}
	return -1
}
