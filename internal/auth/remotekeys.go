package auth

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeromicro/go-zero/core/logx"

	"clinsource/internal/fault"
)

// How an issuer is asked for its keys. docs/identity.md tells operators.
const (
	fetchWithin  = 5 * time.Second // Discovery and keys together.
	waitForKeys  = 2 * time.Second // What one call waits of that.
	fetchAtMost  = 5 * time.Second // From one fetch's begin to the next's, however many kids are unknown.
	refreshAfter = 5 * time.Minute // Keys in use are asked for again, beside the calls.
	serveFor     = 12 * time.Hour  // Known keys serve on for so long while the issuer is away.
	maxAnswer    = 1 << 20         // Bytes of either document.
	maxKeys      = 100             // Of one issuer.
	maxRedirects = 3
	minRSABits   = 2048
)

var (
	fetches = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clinsource_token_keys_fetches_total", Help: "Times that an issuer's keys were fetched (or its changed file read in vain), by result.",
	}, []string{"issuer", "result"})
	heardAt = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "clinsource_token_keys_heard_timestamp_seconds", Help: "Unix time at which an OIDC issuer's keys were last fetched; 0 before the first time.",
	}, []string{"issuer"})
)

func init() { prometheus.MustRegister(fetches, heardAt) }

// remoteKeys are the keys of an OIDC issuer, found by discovery. No goroutine
// runs but while a fetch is under way, and of those there is one at most: calls
// that need its result wait for it, for a bounded time.
type remoteKeys struct {
	of  Issuer
	now func() time.Time

	mu      sync.Mutex
	jwksURI string // Discovered; empty: to be discovered.
	set     jose.JSONWebKeySet
	heard   time.Time     // When the keys were last fetched; zero: never.
	begun   time.Time     // When the last fetch began.
	failure error         // Of the last fetch.
	running chan struct{} // Closed at the end of the fetch under way; nil: none is.
}

func newRemoteKeys(i Issuer, now func() time.Time) (*remoteKeys, error) {
	u, err := url.Parse(i.Issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("Tokens: the issuer %s has no JwksFile, so its keys are to be discovered: it must be an https URL without user, query and fragment", i.Issuer)
	}
	k := &remoteKeys{of: i, now: now}
	if _, err := k.roots(); err != nil {
		return nil, fmt.Errorf("Tokens of %s: %w", i.Issuer, err)
	}
	heardAt.WithLabelValues(i.Issuer)
	return k, nil
}

// find implements keys. A kid that is known costs no waiting; one that is not
// costs the issuer at most one fetch in fetchAtMost.
func (k *remoteKeys) find(ctx context.Context, kid string) ([]jose.JSONWebKey, error) {
	found, running := k.look(ctx, kid)
	if len(found) > 0 {
		return found, nil
	}
	if running != nil {
		timer := time.NewTimer(waitForKeys)
		defer timer.Stop()
		select {
		case <-running:
		case <-timer.C:
		case <-ctx.Done():
			return nil, fault.From(ctx.Err())
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if found := k.usable(kid); len(found) > 0 {
		return found, nil
	}
	if k.failure != nil || k.running != nil || k.heard.IsZero() {
		return nil, fault.Unavailable(fault.ReasonIssuerAway, "the issuer of the token cannot be asked for its keys at present; send again", fetchAtMost).Because(k.failure)
	}
	return nil, errUnknownKid
}

// look gives the known keys; without any, what to wait for.
func (k *remoteKeys) look(ctx context.Context, kid string) ([]jose.JSONWebKey, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found := k.usable(kid)
	if now := k.now(); len(found) == 0 || now.Sub(k.heard) >= refreshAfter {
		if k.running == nil && now.Sub(k.begun) >= fetchAtMost {
			k.begin(ctx, now)
		}
	}
	return found, k.running
}

func (k *remoteKeys) usable(kid string) []jose.JSONWebKey {
	if k.now().Sub(k.heard) > serveFor {
		return nil
	}
	return k.set.Key(kid)
}

// begin starts a fetch that outlives the call which asked for it.
func (k *remoteKeys) begin(ctx context.Context, now time.Time) {
	k.begun, k.running = now, make(chan struct{})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchWithin)
	uri := k.jwksURI
	go func() {
		defer cancel()
		uri, set, err := k.fetch(ctx, uri)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.conclude(uri, set, err)
		close(k.running)
		k.running = nil
	}()
}

func (k *remoteKeys) conclude(uri string, set jose.JSONWebKeySet, err error) {
	if err != nil {
		fetches.WithLabelValues(k.of.Issuer, "failed").Inc()
		if k.failure == nil {
			logx.Errorf("the keys of the token issuer %s cannot be fetched; those known serve on: %v", k.of.Issuer, err)
		}
		k.jwksURI, k.failure = "", err // It may have moved.
		return
	}
	fetches.WithLabelValues(k.of.Issuer, "ok").Inc()
	k.jwksURI, k.set, k.failure, k.heard = uri, set, nil, k.now()
	heardAt.WithLabelValues(k.of.Issuer).Set(float64(k.heard.Unix()))
}

// fetch discovers where the keys are, unless that is known, and gets them.
func (k *remoteKeys) fetch(ctx context.Context, uri string) (string, jose.JSONWebKeySet, error) {
	var none jose.JSONWebKeySet
	client, err := k.client()
	if err != nil {
		return "", none, err
	}
	defer client.CloseIdleConnections()
	if uri == "" {
		var found struct {
			Issuer  string `json:"issuer"`
			JwksURI string `json:"jwks_uri"`
		}
		if err := get(ctx, client, strings.TrimSuffix(k.of.Issuer, "/")+"/.well-known/openid-configuration", &found); err != nil {
			return "", none, err
		}
		if found.Issuer != k.of.Issuer {
			return "", none, errors.New("the discovery document is another issuer's: its issuer is not, letter by letter, the one in Tokens")
		}
		uri = found.JwksURI
	}
	if u, err := url.Parse(uri); err != nil || u.Scheme != "https" || u.Host == "" {
		return "", none, errors.New("the discovery document's jwks_uri is no https URL")
	}
	var listed struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := get(ctx, client, uri, &listed); err != nil {
		return "", none, err
	}
	set, err := signing(listed.Keys)
	return uri, set, err
}

// signing keeps the keys that may verify a token's signature. An issuer lists
// others too (for encryption, of a kind that we do not take): they are left out.
func signing(listed []json.RawMessage) (jose.JSONWebKeySet, error) {
	var set jose.JSONWebKeySet
	if len(listed) > maxKeys {
		return set, fmt.Errorf("the issuer lists %d keys, more than %d", len(listed), maxKeys)
	}
	for _, text := range listed {
		var key jose.JSONWebKey
		if json.Unmarshal(text, &key) != nil || !key.Valid() || !key.IsPublic() || key.KeyID == "" || key.Use != "" && key.Use != "sig" {
			continue
		}
		if r, ok := key.Key.(*rsa.PublicKey); ok && r.N.BitLen() < minRSABits {
			continue
		}
		set.Keys = append(set.Keys, key)
	}
	if len(set.Keys) == 0 {
		return set, errors.New("the issuer lists no public signing key with a kid")
	}
	return set, nil
}

// client is made anew for each fetch, so that a changed CaFile counts.
func (k *remoteKeys) client() (*http.Client, error) {
	roots, err := k.roots()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout: fetchWithin,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if r.URL.Scheme != "https" || len(via) > maxRedirects {
				return errors.New("the issuer redirects away from https, or too often")
			}
			return nil
		},
	}, nil
}

// roots gives nil, the system's authorities, when there is no CaFile.
func (k *remoteKeys) roots() (*x509.CertPool, error) {
	if k.of.CaFile == "" {
		return nil, nil
	}
	data, err := os.ReadFile(k.of.CaFile)
	if err != nil {
		return nil, fmt.Errorf("CaFile: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("CaFile %s holds no certificate in PEM form", k.of.CaFile)
	}
	return pool, nil
}

// get reads a bounded JSON document.
func get(ctx context.Context, client *http.Client, from string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", from, answer.Status)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return err
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("%s answers more than %d bytes", from, maxAnswer)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s answers no JSON of the right shape", from)
	}
	return nil
}
