package faults

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"clinsource/internal/auth"
)

type object = map[string]any

// client is an app that knows both gateways and sends again what failed.
type client struct {
	gateways []string
	token    string
	http     *http.Client
	patience time.Duration // For one request with all its tries.
	shunned  atomic.Int64  // The gateway that failed last, and is asked second for a while: its index and one.
	until    atomic.Int64
}

// reply is what a request came to.
type reply struct {
	status  int
	body    []byte
	tries   int
	took    time.Duration
	err     error // Of the last try.
	blunt   int   // Answers of 503 without Retry-After.
	trouble string
}

func (r reply) ok() bool { return r.err == nil && r.status < 400 }

func newClient(t *testing.T, s *suite, gateways int, grants ...auth.Grant) *client {
	t.Helper()
	certs := filepath.Join(s.dir, "certs", "dev")
	token, err := auth.Issue(filepath.Join(certs, "issuer.key"), "tester", grants, 4*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(certs, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	c := &client{token: token, patience: 15 * time.Second, http: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: 300,
		DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, TLSHandshakeTimeout: 2 * time.Second,
	}}}
	t.Cleanup(c.http.CloseIdleConnections)
	for i := range gateways {
		c.gateways = append(c.gateways, fmt.Sprintf("https://127.0.0.1:%d", 8443+i))
	}
	return c
}

// shunFor is how long a gateway that gave no answer is asked second.
const shunFor = 3 * time.Second

// perTry is what a caller waits before it asks elsewhere.
const perTry = 4 * time.Second

// send tries until it has an answer that is none of "come again", at each gateway
// in turn.
func (c *client) send(method, path string, body any) (r reply) {
	data, err := json.Marshal(body)
	if err != nil {
		return reply{err: err}
	}
	begun := time.Now()
	pause := 20 * time.Millisecond
	start := int(begun.UnixNano()/1000) % len(c.gateways)
	if int64(start)+1 == c.shunned.Load() && begun.UnixNano() < c.until.Load() {
		start = (start + 1) % len(c.gateways)
	}
	for {
		at := (start + r.tries) % len(c.gateways)
		gateway := c.gateways[at]
		r.tries++
		status, header, answer, err := c.once(gateway, method, path, data)
		r.status, r.body, r.err, r.took = status, answer, err, time.Since(begun)
		if status == http.StatusServiceUnavailable && header.Get("Retry-After") == "" {
			r.blunt++
		}
		if err == nil && status < 400 {
			return r
		}
		if err != nil { // No answer at all: a balancer would ask elsewhere now.
			c.shunned.Store(int64(at) + 1)
			c.until.Store(time.Now().Add(shunFor).UnixNano())
		}
		r.trouble = fmt.Sprintf("%s %s: %d %v %.300s", method, gateway, status, err, answer)
		if err == nil && status < 500 && status != http.StatusTooManyRequests {
			return r
		}
		if time.Since(begun) > c.patience {
			return r
		}
		time.Sleep(pause)
		pause = min(2*pause, 500*time.Millisecond)
	}
}

func (c *client) once(gateway, method, path string, body []byte) (int, http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), perTry)
	defer cancel()
	var reader io.Reader
	if method != http.MethodGet {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, gateway+path, reader)
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, data, err
}

// speakHTTP2 puts all requests on one connection.
func (c *client) speakHTTP2() {
	over := c.http.Transport.(*http.Transport).Clone()
	over.ForceAttemptHTTP2 = true
	c.http.CloseIdleConnections()
	c.http = &http.Client{Transport: over}
}

// world is a project of a test's own with some subjects.
type world struct {
	*client
	path     string
	patients []string
}

func newWorld(t *testing.T, s *suite, gateways int) *world {
	t.Helper()
	project := "p-" + strings.ToLower(rand.Text()[:12])
	admin := newClient(t, s, gateways, auth.Grant{Role: auth.Admin})
	must(t, admin.send(http.MethodPost, "/v1/projects", object{"project_id": project}))
	w := &world{client: newClient(t, s, gateways, auth.Grant{Role: auth.Admin, Project: project}), path: "/v1/projects/" + project}
	must(t, w.send(http.MethodPost, w.path+"/sites", object{"site_id": "s1"}))
	for range 8 {
		id := "s-" + strings.ToLower(rand.Text()[:12])
		must(t, w.send(http.MethodPost, w.path+"/subjects", object{"patient_id": id, "site_id": "s1"}))
		w.patients = append(w.patients, id)
	}
	return w
}

func must(t testing.TB, r reply) reply {
	t.Helper()
	if !r.ok() {
		t.Fatalf("%s (%d %s)", r.trouble, r.status, r.body)
	}
	return r
}
