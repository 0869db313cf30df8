package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Bounds of a call that is no upload, and of a connection's beginning.
const (
	callWithin    = 30 * time.Second
	connectWithin = 10 * time.Second
)

// gateway is the HTTPS gateway as clinctl sees it.
type gateway struct {
	url, token string
	http       *http.Client
}

// gatewayFlags adds the flags that every command which calls the gateway has.
func gatewayFlags(flags *flag.FlagSet) func() (*gateway, error) {
	url := flags.String("url", cmp.Or(os.Getenv("CLINSOURCE_URL"), "https://127.0.0.1:8443"), "the gateway")
	ca := flags.String("ca", cmp.Or(os.Getenv("CLINSOURCE_CA"), certDir+"/ca.crt"), "the CA that its certificate is checked against")
	token := flags.String("token", os.Getenv("CLINSOURCE_TOKEN"), "the bearer token")
	return func() (*gateway, error) {
		pem, err := os.ReadFile(*ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca: %s holds no certificate", *ca)
		}
		transport := &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ResponseHeaderTimeout: 2 * time.Minute,
			WriteBufferSize: 256 << 10, DialContext: (&net.Dialer{Timeout: connectWithin}).DialContext, TLSHandshakeTimeout: connectWithin,
			MaxIdleConnsPerHost: 64,
		}
		return &gateway{url: strings.TrimSuffix(*url, "/"), token: *token, http: &http.Client{Transport: transport}}, nil
	}
}

// problem is what the gateway says when it refuses.
type problem struct {
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Reason    string `json:"reason"`
	RequestID string `json:"request_id"`
	Errors    []struct{ Field, Rule, Message string }
}

func (p *problem) Error() string {
	text := fmt.Sprintf("%d %s: %s", p.Status, p.Reason, p.Detail)
	for _, e := range p.Errors {
		if !strings.Contains(p.Detail, e.Message) { // One error is often all that the detail says.
			text += "; " + e.Field + ": " + e.Message
		}
	}
	return text + " (request " + p.RequestID + ")"
}

// do sends a request and reads the JSON answer into out, if it is not nil.
func (g *gateway) do(req *http.Request, out any) error {
	req.Header.Set("Authorization", "Bearer "+g.token)
	resp, err := g.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		p := &problem{Status: resp.StatusCode}
		if json.Unmarshal(body, p) != nil || p.Reason == "" {
			return fmt.Errorf("status %d without a problem document: is this the gateway?", resp.StatusCode)
		}
		return p
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}

// post sends JSON, and again while the gateway asks to back off.
func (g *gateway) post(ctx context.Context, path string, in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	for wait := 200 * time.Millisecond; ; wait *= 2 {
		err = g.postOnce(ctx, path, data, out)
		var p *problem
		if !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable && p.Status != http.StatusGatewayTimeout || wait > 5*time.Second {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (g *gateway) postOnce(ctx context.Context, path string, data []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return g.do(req, out)
}
