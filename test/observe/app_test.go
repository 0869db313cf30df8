package observe

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"clinsource/internal/auth"
)

const gatewayURL = "https://127.0.0.1:8443"

type object = map[string]any

// app calls the gateway as an administrator of one project, with headers that
// are on every request.
type app struct {
	token, path string
	headers     map[string]string
	http        *http.Client
}

func newApp(t testing.TB, project string) *app {
	t.Helper()
	pem, err := os.ReadFile(home + "/certs/dev/ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	token, err := auth.Issue(home+"/certs/dev/issuer.key", "canary-subject", []auth.Grant{
		{Role: auth.Admin}, {Role: auth.Admin, Project: project},
	}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &app{token: token, path: "/v1/projects/" + project, headers: map[string]string{}, http: &http.Client{Transport: transport}}
}

// send gives status and request id of the answer.
func (a *app) send(t testing.TB, method, path string, body any) (status int, requestID string, answer []byte) {
	t.Helper()
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case []byte:
		reader = bytes.NewReader(body)
	default:
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, gatewayURL+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	for name, value := range a.headers {
		req.Header.Set(name, value)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("X-Request-Id"), answer
}

// want is send for an answer that must have this status.
func (a *app) want(t testing.TB, status int, method, path string, body any) (requestID string) {
	t.Helper()
	got, id, answer := a.send(t, method, path, body)
	if got != status {
		t.Fatalf("%s %s: %d, want %d: %s", method, path, got, status, answer)
	}
	return id
}

func vitals(recordID string) object {
	return object{
		"client_record_id": recordID, "measurement_time": "2026-06-01T08:00:00+02:00",
		"blood_pressure": object{"systolic": 121, "diastolic": 79},
		"temperature":    object{"value": json.Number("37.7391"), "unit": "CELSIUS"},
	}
}

// within tries until the condition holds.
func within(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
