package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func remove(s store, name string) {
	s.t.Helper()
	if err := os.Remove(s.path(name)); err != nil {
		s.t.Fatal(err)
	}
}

// A CA and both leaves are replaced under a running server and client.
func TestRotation(t *testing.T) {
	old, young, s := newTestCA(t), newTestCA(t), newStore(t)
	s.put("ca.crt", old.pem())
	s.putPair("server", old.leaf("vitals-rpc"))
	s.putPair("client", old.leaf("project-api"))
	server := must[*Server](t)(NewServer(s.server("server", "ca.crt"), WithInterval(0)))
	client := must[*Client](t)(NewClient(s.client("client", "ca.crt", "vitals-rpc"), WithInterval(0)))
	address := serve(t, server.Credentials(), PeerList{healthService: {"project-api"}})
	standing := dial(t, address, client.Credentials())
	if err := unary(t, standing); err != nil {
		t.Fatal(err)
	}

	// A caller that stays in the old world, for the end of this test.
	remains := newStore(t)
	remains.put("ca.crt", slices.Concat(old.pem(), young.pem()))
	remains.putPair("client", old.leaf("project-api"))
	late := must[*Client](t)(NewClient(remains.client("client", "ca.crt", "vitals-rpc")))

	for _, step := range []struct {
		name string
		do   func()
	}{
		{"both CAs trusted", func() { s.put("ca.crt", slices.Concat(old.pem(), young.pem())) }},
		{"new server leaf", func() { s.putPair("server", young.leaf("vitals-rpc")) }},
		{"new client leaf", func() { s.putPair("client", young.leaf("project-api")) }},
		{"old CA gone", func() { s.put("ca.crt", young.pem()) }},
	} {
		step.do()
		if err := unary(t, standing); err != nil {
			t.Errorf("%s: the standing connection: %v", step.name, err)
		}
		if err := unary(t, dial(t, address, client.Credentials())); err != nil {
			t.Errorf("%s: a new connection: %v", step.name, err)
		}
	}
	if leaf := shownLeaf(t, address, client.TLSConfig()); !signedBy(leaf, young) {
		t.Error("new handshakes still show the old chain")
	}
	if err := unary(t, dial(t, address, late.Credentials())); status.Code(err) != codes.Unavailable {
		t.Errorf("a caller of the removed CA: %v", err)
	}
}

// The client forgets a CA too, not only the server.
func TestClientStopsTrustingARemovedCA(t *testing.T) {
	old, young, s := newTestCA(t), newTestCA(t), newStore(t)
	s.put("client-ca.crt", old.pem())
	s.put("server-ca.crt", old.pem())
	s.putPair("p", old.leaf("p"))
	server := must[*Server](t)(NewServer(s.server("p", "client-ca.crt")))
	client := must[*Client](t)(NewClient(s.client("p", "server-ca.crt", "p"), WithInterval(0)))
	address := serve(t, server.Credentials(), PeerList{healthService: {"p"}})
	if err := unary(t, dial(t, address, client.Credentials())); err != nil {
		t.Fatal(err)
	}
	s.put("server-ca.crt", young.pem())
	if err := unary(t, dial(t, address, client.Credentials())); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("a server of the removed CA: %v", err)
	}
}

func TestHalfWrittenPairKeepsTheOld(t *testing.T) {
	ca, s := newTestCA(t), newStore(t)
	s.put("ca.crt", ca.pem())
	s.putPair("half-written", ca.leaf("vitals-rpc"))
	server := must[*Server](t)(NewServer(s.server("half-written", "ca.crt"), WithInterval(0)))
	first := server.source.current().pair.Leaf

	next := ca.leaf("vitals-rpc")
	expired := ca.leaf("vitals-rpc", expiredAnHourAgo)
	for name, spoil := range map[string]func(){
		"certificate without its key": func() { s.put("half-written.crt", next.cert) },
		"empty key":                   func() { s.put("half-written.key", nil) },
		"half a certificate":          func() { s.put("half-written.crt", next.cert[:len(next.cert)/2]) },
		"no certificate":              func() { remove(s, "half-written.crt") },
		"expired pair":                func() { s.putPair("half-written", expired) },
		"empty CA":                    func() { s.put("ca.crt", nil) },
	} {
		before := metric(t, "clinsource_tls_reload_errors_total", "half-written.crt")
		spoil()
		if got := server.source.current().pair.Leaf; !got.Equal(first) {
			t.Errorf("%s: the old certificate is not in use any more", name)
		}
		if after := metric(t, "clinsource_tls_reload_errors_total", "half-written.crt"); after <= before {
			t.Errorf("%s: not counted as a reload error", name)
		}
	}
	s.put("ca.crt", ca.pem())
	s.putPair("half-written", next)
	if got := server.source.current().pair.Leaf; got.Equal(first) {
		t.Error("the finished pair is not in use")
	}
}

// Looks are rationed by the clock, and a clock set back does not stop them.
func TestInterval(t *testing.T) {
	ca, s := newTestCA(t), newStore(t)
	now := time.Now()
	s.put("ca.crt", ca.pem())
	s.putPair("p", ca.leaf("p"))
	server := must[*Server](t)(NewServer(s.server("p", "ca.crt"), WithClock(func() time.Time { return now })))
	for _, step := range []struct {
		after time.Duration
		looks bool
	}{
		{0, false}, {999 * time.Millisecond, false}, {time.Millisecond, true}, {time.Millisecond, false}, {-time.Minute, true}, {2 * time.Second, true},
	} {
		before := server.source.current().pair.Leaf
		s.putPair("p", ca.leaf("p"))
		now = now.Add(step.after)
		if looked := !server.source.current().pair.Leaf.Equal(before); looked != step.looks {
			t.Errorf("after %v: looked = %v", step.after, looked)
		}
	}
}

// Handshakes of many connections share one source while the files change.
func TestConcurrentHandshakesDuringRotation(t *testing.T) {
	ca, s := newTestCA(t), newStore(t)
	s.put("ca.crt", ca.pem())
	s.putPair("p", ca.leaf("p"))
	server := must[*Server](t)(NewServer(s.server("p", "ca.crt"), WithInterval(0)))
	client := must[*Client](t)(NewClient(s.client("p", "ca.crt", "p"), WithInterval(0)))
	address := serve(t, server.Credentials(), PeerList{healthService: {"p"}})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				conn, err := tls.Dial("tcp", address, client.TLSConfig())
				if err != nil {
					t.Error(err)
					return
				}
				_ = conn.Close()
			}
		})
	}
	for range 10 {
		s.putPair("p", ca.leaf("p"))
	}
	wg.Wait()
}

// At the HTTPS edge a client that sends no server name gets the new
// certificate as well, and a client's certificate is not asked for.
func TestEdge(t *testing.T) {
	ca, s := newTestCA(t), newStore(t)
	local := func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} }
	s.putPair("edge", ca.leaf("project-api", local))
	edge := must[*Edge](t)(NewEdge(s.path("edge.crt"), s.path("edge.key"), WithInterval(0)))
	// As net/http does with CertFile and KeyFile.
	config := edge.TLSConfig()
	config.Certificates = []tls.Certificate{must[tls.Certificate](t)(tls.LoadX509KeyPair(s.path("edge.crt"), s.path("edge.key")))}
	address := acceptTLS(t, config)

	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	withoutSNI := func(change ...func(*tls.Config)) *tls.Config {
		c := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}
		for _, f := range change {
			f(c)
		}
		return c
	}
	before := shownLeaf(t, address, withoutSNI())
	s.putPair("edge", ca.leaf("project-api", local))
	if after := shownLeaf(t, address, withoutSNI()); after.Equal(before) {
		t.Error("a client without SNI still sees the old certificate")
	}
	if state := handshake(t, address, withoutSNI()); state.NegotiatedProtocol != "h2" || state.Version != tls.VersionTLS13 {
		t.Errorf("negotiated %q, %s", state.NegotiatedProtocol, tls.VersionName(state.Version))
	}
	old := handshake(t, address, withoutSNI(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12; c.NextProtos = []string{"http/1.1"} }))
	if old.NegotiatedProtocol != "http/1.1" || !strings.Contains(tls.CipherSuiteName(old.CipherSuite), "ECDHE") {
		t.Errorf("TLS 1.2: negotiated %q, %s", old.NegotiatedProtocol, tls.CipherSuiteName(old.CipherSuite))
	}
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.1": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"CBC": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		},
	} {
		if conn, err := tls.Dial("tcp", address, withoutSNI(change)); err == nil {
			_ = conn.Close()
			t.Errorf("%s accepted", name)
		}
	}
}

func TestExpiryMetric(t *testing.T) {
	ca, s := newTestCA(t), newStore(t)
	name := fmt.Sprintf("metric-%d", time.Now().UnixNano()) // -count: series last as long as the process
	s.put(name+"-ca.crt", ca.pem())
	s.putPair(name, ca.leaf("p"))
	must[*Server](t)(NewServer(s.server(name, name+"-ca.crt"), WithInterval(0)))
	check := func(file string, want time.Time) {
		t.Helper()
		if got := metric(t, "clinsource_tls_cert_expiry_timestamp_seconds", file); got != float64(want.Unix()) {
			t.Errorf("%s expires at %v, want %v", file, got, want.Unix())
		}
	}
	check(name+"-ca.crt", ca.cert.NotAfter)
	later := time.Now().Add(20 * time.Hour)
	s.putPair(name, ca.leaf("p", func(c *x509.Certificate) { c.NotAfter = later }))
	check(name+".crt", later) // without any handshake

	// A second file of the same base name: one series, the earlier expiry.
	twin, soon := newStore(t), time.Now().Add(time.Minute)
	twin.putPair(name, ca.leaf("p", func(c *x509.Certificate) { c.NotAfter = soon }))
	must[*Edge](t)(NewEdge(twin.path(name+".crt"), twin.path(name+".key")))
	check(name+".crt", soon)
}

// metric reads what a scrape of this process would show; 0 when there is no
// such series yet.
func metric(t *testing.T, name, file string) float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && m.GetLabel()[0].GetValue() == file {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue() // one of the two is absent
			}
		}
	}
	return 0
}

// acceptTLS answers handshakes until the test ends.
func acceptTLS(t *testing.T, config *tls.Config) (address string) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake()
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

func handshake(t *testing.T, address string, config *tls.Config) tls.ConnectionState {
	t.Helper()
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState()
}

func shownLeaf(t *testing.T, address string, config *tls.Config) *x509.Certificate {
	t.Helper()
	return handshake(t, address, config).PeerCertificates[0]
}

func signedBy(leaf *x509.Certificate, ca testCA) bool {
	return leaf.CheckSignatureFrom(ca.cert) == nil
}
