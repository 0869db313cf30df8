package faults

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"clinsource/internal/auth"
)

// following is an app that reads its authorities at each connection, as ours do,
// and takes the token that is given to it.
type following struct {
	*http.Transport
	token atomic.Value
}

func follow(certs string) *following {
	f := &following{}
	f.Transport = &http.Transport{MaxIdleConnsPerHost: 100, DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		text, err := os.ReadFile(filepath.Join(certs, "ca.crt"))
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(text)
		return (&tls.Dialer{Config: &tls.Config{RootCAs: pool}}).DialContext(ctx, network, addr)
	}}
	return f
}

func (f *following) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+f.token.Load().(string))
	return f.Transport.RoundTrip(r)
}

// clinctl runs a command in the suite's folder.
func (s *suite) clinctl(t *testing.T, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "clinctl"), args...)
	c.Dir = s.dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("clinctl %v: %v\n%s", args, err, out)
	}
}

// The authority, all leaves and the token key are replaced under load, twice, by
// the commands of docs/operations.md: no request fails, and none is sent twice.
//
// Shows R01.
func TestRotationUnderLoad(t *testing.T) {
	s := startSuite(t, "")
	certs := filepath.Join(s.dir, "certs", "dev")
	w := newWorld(t, s, 1)
	app := follow(certs)
	app.token.Store(w.token)
	w.http = &http.Client{Transport: app}
	renewed := func() string {
		t.Helper()
		token, err := auth.Issue(filepath.Join(certs, "issuer.key"), "tester", []auth.Grant{{Role: auth.Admin, Project: w.path[len("/v1/projects/"):]}}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	l := startLoad(w, 4)
	rounds := 2
	if short {
		rounds = 1
	}
	for round := range rounds {
		first, authority := w.presented(t, certs), readPEM(t, filepath.Join(certs, "ca.crt"))
		s.clinctl(t, "certs", "--wait", "8s", "rotate", "ca")
		s.clinctl(t, "certs", "--wait", "2s", "rotate", "token-key")
		old := app.token.Load().(string)
		app.token.Store(renewed())
		app.CloseIdleConnections()
		time.Sleep(2 * time.Second)
		s.clinctl(t, "certs", "retire", "ca")
		s.clinctl(t, "certs", "retire", "token-key")
		time.Sleep(7 * time.Second) // 5 s a token is remembered, 1 s a look at a file is good for.
		now := w.presented(t, certs)
		if now.Equal(first) || now.CheckSignatureFrom(parse(t, authority)) == nil {
			t.Errorf("round %d: the gateway shows its old certificate, or one of the old authority", round)
		}
		stale := &client{gateways: w.gateways, token: old, http: &http.Client{Transport: follow(certs).Transport}}
		status, _, body, err := stale.once(w.gateways[0], http.MethodGet, w.path, nil)
		var problem struct{ Reason string }
		if err != nil || json.Unmarshal(body, &problem) != nil || status != 401 || problem.Reason != "TOKEN_INVALID" {
			t.Errorf("round %d: a token of the retired key: %d %s %v", round, status, problem.Reason, err)
		}
	}
	s.clinctl(t, "certs", "rotate", "leaves")
	time.Sleep(2 * time.Second)
	l.end()
	failed, again := 0, 0
	for _, sample := range l.samples {
		if !sample.ok {
			failed++
			t.Logf("%s", sample.trouble)
		} else if sample.tries > 1 {
			again++
			t.Logf("%s", sample.trouble)
		}
	}
	t.Logf("%d requests", len(l.samples))
	if failed > 0 || again > 0 || len(l.samples) < 500 {
		t.Errorf("of %d requests %d failed and %d were sent again", len(l.samples), failed, again)
	}
	for _, name := range []string{"vitals-rpc", "subject-rpc"} { // Connections that are made now are made of what is new.
		s.restart(t, name)
	}
	eventually(t, 20*time.Second, func() error { return state(w, "vitals", "ok") })
}

// presented is the certificate that the gateway shows now.
func (w *world) presented(t *testing.T, certs string) *x509.Certificate {
	t.Helper()
	conn, err := follow(certs).DialTLSContext(t.Context(), "tcp", "127.0.0.1:8443")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
