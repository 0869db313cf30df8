package handler

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/zeromicro/go-zero/core/logx/logtest"

	"clinsource/internal/fault"
	"clinsource/project-api/internal/problem"
)

// secret stands for what a panic's text may hold: a value of a patient.
const secret = "patient-4711-has-38.9"

// panicking are handlers that panic before anything was sent, and after.
var panicking = map[string]struct {
	handler  http.HandlerFunc
	halfSent bool
}{
	"with a text":     {func(http.ResponseWriter, *http.Request) { panic(secret) }, false},
	"with an error":   {func(http.ResponseWriter, *http.Request) { panic(errors.New(secret)) }, false},
	"of the runtime":  {func(http.ResponseWriter, *http.Request) { _ = map[string][]int{}[secret][7] }, false},
	"headers planned": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "5"); panic(secret) }, false},
	"status sent":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); panic(secret) }, true},
	"half sent": {func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"records":[`)
		_ = http.NewResponseController(w).Flush()
		panic(secret)
	}, true},
	"half of a known length": {func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "half")
		panic(secret)
	}, true},
	"connection given up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true},
}

// A handler that panics is answered by a whole problem, or the connection is cut
// where half an answer would pass for a whole one; the panic's text goes nowhere.
func TestPanickingHandler(t *testing.T) {
	for name, c := range panicking {
		for protocol, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
			t.Run(name+" over "+protocol, func(t *testing.T) {
				logs := logtest.NewCollector(t)
				server := httptest.NewUnstartedServer(Edge(c.handler))
				server.EnableHTTP2 = http2
				server.StartTLS()
				t.Cleanup(server.Close)
				resp, body, err := get(t, server)
				if c.halfSent {
					if err == nil {
						t.Errorf("half an answer came as a whole one: %d %q", resp.StatusCode, body)
					}
				} else {
					checkInternal(t, resp, body, err)
				}
				server.Close() // The log line is written after the answer.
				if line := logs.String(); strings.Contains(line, secret) || !strings.Contains(line, `"route":"none"`) {
					t.Errorf("the log is %s", line)
				}
			})
		}
	}
}

func get(t *testing.T, server *httptest.Server) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/"+secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Request-Id", "ours")
	resp, err := server.Client().Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

func checkInternal(t *testing.T, resp *http.Response, body []byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var p problem.Problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("not a problem (%v): %s", err, body)
	}
	if resp.StatusCode != 500 || p.Status != 500 || p.Reason != fault.ReasonInternal || p.RequestID != "ours" ||
		resp.Header.Get("Content-Type") != "application/problem+json" || resp.Header.Get("X-Request-Id") != "ours" {
		t.Errorf("status %d, %v, %s", resp.StatusCode, resp.Header, body)
	}
	if text := string(body); strings.Contains(text, secret) || strings.Contains(text, "goroutine") || strings.Contains(text, ".go:") {
		t.Errorf("the answer tells of the panic: %s", text)
	}
}

// The server goes on after a panic.
func TestServerOutlivesPanics(t *testing.T) {
	calls := 0
	server := httptest.NewServer(Edge(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls%2 == 1 {
			panic(secret)
		}
		w.WriteHeader(http.StatusNoContent)
	})))
	t.Cleanup(server.Close)
	for i, want := range []int{500, 204, 500, 204} {
		resp, _, err := get(t, server)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("call %d: %v, %v, want status %d", i, resp, err, want)
		}
	}
}
