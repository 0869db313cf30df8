package auth

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"google.golang.org/grpc/codes"

	"clinsource/internal/auth/issuertest"
	"clinsource/internal/fault"
)

// provider is an OIDC issuer behind TLS, whose answers a test may replace.
type provider struct {
	*issuertest.Issuer
	ca      string
	replace atomic.Pointer[http.HandlerFunc] // nil: the issuer answers.
	now     atomic.Int64                     // What the verifier takes for the time, Unix nanoseconds.
}

func newProvider(t *testing.T, alg jose.SignatureAlgorithm) *provider {
	t.Helper()
	p := &provider{}
	p.now.Store(time.Now().UnixNano())
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := p.replace.Load(); h != nil {
			(*h)(w, r)
			return
		}
		p.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	var err error
	if p.Issuer, err = issuertest.New(server.URL, alg); err != nil {
		t.Fatal(err)
	}
	p.ca = filepath.Join(t.TempDir(), "ca.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(p.ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// verifier takes the provider's tokens and the development issuer's.
func (p *provider) verifier(t *testing.T, dev issuer) *Verifier {
	t.Helper()
	v, err := NewVerifier(Config{
		{Issuer: DevIssuer, Audience: DevAudience, JwksFile: dev.jwks()},
		{Issuer: p.URL, Audience: "trial", CaFile: p.ca},
	})
	if err != nil {
		t.Fatal(err)
	}
	v.now = func() time.Time { return time.Unix(0, p.now.Load()) }
	return v
}

func (p *provider) pass(d time.Duration) { p.now.Add(int64(d)) }

func (p *provider) answer(h http.HandlerFunc) {
	if h == nil {
		p.replace.Store(nil)
		return
	}
	p.replace.Store(&h)
}

// away makes the provider answer nothing but failure.
func (p *provider) away() {
	p.answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusBadGateway) })
}

// token signs good claims, changed; nil takes one away.
func (p *provider) token(t *testing.T, changes map[string]any) string {
	t.Helper()
	claims := map[string]any{"iss": p.URL, "aud": "trial", "sub": "u", "exp": time.Unix(0, p.now.Load()).Add(24 * time.Hour).Unix()}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	token, err := p.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + token
}

func isAway(t *testing.T, err error) {
	t.Helper()
	if f := fault.From(err); f == nil || f.Code != codes.Unavailable || f.Reason != fault.ReasonIssuerAway || f.RetryAfter <= 0 {
		t.Errorf("the answer is %v, want Unavailable %s with a retry hint", err, fault.ReasonIssuerAway)
	}
}

func verified(t *testing.T, v *Verifier, authorization string) *User {
	t.Helper()
	u, err := v.Verify(t.Context(), authorization)
	if err != nil {
		t.Fatalf("a good token is refused: %v (%v)", err, fault.From(err).Unwrap())
	}
	return u
}

// Shows R01.
func TestDiscoveredIssuer(t *testing.T) {
	for _, alg := range []jose.SignatureAlgorithm{jose.ES256, jose.RS256} {
		p := newProvider(t, alg)
		v := p.verifier(t, newIssuer(t))
		// Its claim grants counts for nothing: it says who, not what.
		u := verified(t, v, p.token(t, map[string]any{"grants": []Grant{{Role: Admin, Project: "p"}}}))
		if u.Subject != "u" || len(u.Grants) != 0 {
			t.Errorf("%s: the user is %+v", alg, u)
		}
		for range 20 {
			verified(t, v, p.token(t, map[string]any{"jti": time.Now().String()}))
		}
		if n := p.Fetches.Load(); n != 2 {
			t.Errorf("%s: 21 tokens cost %d fetches, want discovery and keys", alg, n)
		}
		for name, changes := range map[string]map[string]any{
			"expired": {"exp": time.Now().Add(-time.Second).Unix()}, "no expiry": {"exp": nil}, "future nbf": {"nbf": time.Now().Add(time.Minute).Unix()},
			"another audience": {"aud": DevAudience}, "no audience": {"aud": nil}, "no sub": {"sub": nil},
			"the other issuer's name": {"iss": DevIssuer, "aud": DevAudience}, "an issuer nobody named": {"iss": p.URL + "/"}, "no issuer": {"iss": nil},
		} {
			t.Run(string(alg)+" "+name, func(t *testing.T) {
				_, err := v.Verify(t.Context(), p.token(t, changes))
				refused(t, err, fault.ReasonTokenInvalid)
			})
		}
	}
}

func TestRotationOfAnIssuersKeys(t *testing.T) {
	p := newProvider(t, jose.ES256)
	v := p.verifier(t, newIssuer(t))
	old := p.token(t, nil)
	verified(t, v, old)
	if err := p.Rotate(); err != nil {
		t.Fatal(err)
	}
	p.pass(fetchAtMost)
	verified(t, v, p.token(t, nil)) // Unknown: fetched at once.
	verified(t, v, old)
	p.Retire()
	p.pass(refreshAfter)
	verified(t, v, p.token(t, nil)) // Begins the fetch, waits for nothing.
	eventually(t, "the retired key's token is refused", func() bool {
		p.pass(cacheFor + time.Second)
		_, err := v.Verify(t.Context(), old)
		return err != nil
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 5 s: %s", what)
		}
	}
}

func TestUnknownKidsCostOneFetch(t *testing.T) {
	p := newProvider(t, jose.ES256)
	v := p.verifier(t, newIssuer(t))
	verified(t, v, p.token(t, nil))
	stranger := newProvider(t, jose.ES256)
	for range 5 { // key-6: a kid that the issuer does not have.
		if err := stranger.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	forged := stranger.token(t, map[string]any{"iss": p.URL})
	p.pass(fetchAtMost)
	before := p.Fetches.Load()
	var flood sync.WaitGroup
	for range 500 {
		flood.Go(func() {
			_, err := v.Verify(t.Context(), forged)
			refused(t, err, fault.ReasonTokenInvalid)
		})
	}
	flood.Wait()
	if n := p.Fetches.Load() - before; n != 1 {
		t.Errorf("500 tokens of unknown kids cost %d fetches, want 1", n)
	}
}

func TestIssuerAwayAtStart(t *testing.T) {
	p, dev := newProvider(t, jose.ES256), newIssuer(t)
	p.away()
	v := p.verifier(t, dev)
	token := p.token(t, nil)
	_, err := v.Verify(t.Context(), token)
	isAway(t, err)
	verified(t, v, "Bearer "+compact(t, sign(t, jose.ES256, dev.key, dev.kid, with(nil)))) // Others work.
	p.answer(nil)
	_, err = v.Verify(t.Context(), token)
	isAway(t, err) // Asked a moment ago: not again yet.
	p.pass(fetchAtMost)
	verified(t, v, token)
}

func TestIssuerAwayLater(t *testing.T) {
	p := newProvider(t, jose.ES256)
	v := p.verifier(t, newIssuer(t))
	token := p.token(t, nil)
	verified(t, v, token)
	p.away()
	p.pass(serveFor)
	verified(t, v, token)
	eventually(t, "the fetch has failed", func() bool {
		k := v.issuers[p.URL].keys.(*remoteKeys)
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.failure != nil && k.running == nil
	})
	p.pass(time.Minute)
	_, err := v.Verify(t.Context(), token)
	isAway(t, err)
	p.answer(nil)
	p.pass(fetchAtMost)
	verified(t, v, token)
}

func TestSlowIssuerCostsNobodyMoreThanTheWait(t *testing.T) {
	p := newProvider(t, jose.ES256)
	release := make(chan struct{})
	p.answer(func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	v := p.verifier(t, newIssuer(t))
	begun := time.Now()
	_, err := v.Verify(t.Context(), p.token(t, nil))
	isAway(t, err)
	if took := time.Since(begun); took > waitForKeys+time.Second {
		t.Errorf("the call waited %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun = time.Now()
	if _, err := v.Verify(ctx, p.token(t, nil)); err == nil || time.Since(begun) > time.Second {
		t.Errorf("a call with 50 ms left: %v after %v", err, time.Since(begun))
	}
}

func TestWhatAnIssuerMayNotAnswer(t *testing.T) {
	for name, h := range map[string]func(p *provider) http.HandlerFunc{
		"endless": func(*provider) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				for _, err := w.Write(make([]byte, 1<<16)); err == nil; _, err = w.Write(make([]byte, 1<<16)) {
				}
			}
		},
		"another issuer's document": func(p *provider) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`{"issuer":"https://other.example","jwks_uri":"` + p.URL + `/keys"}`))
			}
		},
		"keys in plaintext": func(p *provider) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`{"issuer":"` + p.URL + `","jwks_uri":"http://127.0.0.1/keys"}`))
			}
		},
		"redirect to plaintext": func(*provider) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			}
		},
		"no JSON": func(*provider) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }
		},
		"a shared secret as key":  onlyKeys(jose.JSONWebKey{Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: "key-1"}),
		"a key for encryption":    nil, // Below: it needs the provider's own key.
		"no keys":                 onlyKeys(),
		"keys without kid at all": nil,
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t, jose.ES256)
			key := p.Key().Public()
			switch name {
			case "a key for encryption":
				key.Use = "enc"
				h = onlyKeys(key)
			case "keys without kid at all":
				key.KeyID = ""
				h = onlyKeys(key)
			}
			p.answer(h(p))
			_, err := p.verifier(t, newIssuer(t)).Verify(t.Context(), p.token(t, nil))
			isAway(t, err)
		})
	}
}

func onlyKeys(keys ...jose.JSONWebKey) func(p *provider) http.HandlerFunc {
	return func(p *provider) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/keys") {
				p.ServeHTTP(w, r)
				return
			}
			if json.NewEncoder(w).Encode(map[string]any{"keys": keys}) != nil {
				http.Error(w, "", http.StatusInternalServerError)
			}
		}
	}
}

func TestUnknownKindsOfKeysAreLeftOut(t *testing.T) {
	p := newProvider(t, jose.ES256)
	p.answer(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/keys") {
			p.ServeHTTP(w, r)
			return
		}
		good, err := p.Key().Public().MarshalJSON()
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write([]byte(`{"keys":[{"kty":"new","kid":"x"},7,` + string(good) + `]}`))
	})
	verified(t, p.verifier(t, newIssuer(t)), p.token(t, nil))
}

func TestAStrangersCertificateIsNoIssuer(t *testing.T) {
	p := newProvider(t, jose.ES256)
	p.ca = newIssuer(t).dir + "/ca.crt"
	_, err := p.verifier(t, newIssuer(t)).Verify(t.Context(), p.token(t, nil))
	isAway(t, err)
	if p.Fetches.Load() != 0 {
		t.Error("it was asked all the same")
	}
}
