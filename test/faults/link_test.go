package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is the way to one process, which a test can slow and cut.
type link struct{ proxy *toxiproxy.Proxy }

var proxies = toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())

func newLink(t *testing.T, name string, port int) *link {
	t.Helper()
	p := toxiproxy.NewProxy(proxies, name, fmt.Sprintf("127.0.0.1:%d", port+proxied), fmt.Sprintf("127.0.0.1:%d", port))
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return &link{p}
}

func (l *link) toxic(t testing.TB, kind string, toxicity float64, attributes string) {
	t.Helper()
	text := fmt.Sprintf(`{"name":%q,"type":%q,"stream":"downstream","toxicity":%v,"attributes":%s}`, kind, kind, toxicity, attributes)
	if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

// slow delays every answer.
func (l *link) slow(t testing.TB, by time.Duration) {
	l.toxic(t, "latency", 1, fmt.Sprintf(`{"latency":%d}`, by.Milliseconds()))
}

// hang lets nothing through and ends nothing, as a process that is stopped.
func (l *link) hang(t testing.TB) { l.toxic(t, "timeout", 1, `{"timeout":0}`) }

// lossy resets every connection after so many bytes, new ones too.
func (l *link) lossy(t testing.TB, bytes int) {
	l.toxic(t, "limit_data", 1, fmt.Sprintf(`{"bytes":%d}`, bytes))
}

func (l *link) cure(t testing.TB) { l.proxy.Toxics.ResetToxics(t.Context()) }

// cut ends all connections and refuses new ones.
func (l *link) cut() { l.proxy.Stop() }

func (l *link) mend(t testing.TB) {
	t.Helper()
	if err := l.proxy.Start(); err != nil {
		t.Fatal(err)
	}
}
