// Package issuertest is an OIDC issuer for tests: discovery, keys as JWKS, tokens
// signed with the newest key, and rotation with an overlap, as an identity provider
// of a hospital does it. Tests mount it on a TLS server of their own; test/issuer
// is the same as a process, for those that want to kill it.
package issuertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	jose "github.com/go-jose/go-jose/v4"
)

// Issuer signs whatever claims it is given, for whoever asks: a test's only.
type Issuer struct {
	URL     string       // Its name, and where it is.
	Fetches atomic.Int64 // Documents that it was asked for.

	alg  jose.SignatureAlgorithm
	mu   sync.Mutex
	keys []jose.JSONWebKey // Private; the last one signs.
	made int
}

// New makes an issuer with one key. alg is ES256 or RS256.
func New(url string, alg jose.SignatureAlgorithm) (*Issuer, error) {
	i := &Issuer{URL: url, alg: alg}
	return i, i.Rotate()
}

// Rotate adds a key, which signs from now on; the ones before stay listed.
func (i *Issuer) Rotate() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	var key crypto.Signer
	var err error
	if i.alg == jose.RS256 {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return err
	}
	i.made++
	i.keys = append(i.keys, jose.JSONWebKey{Key: key, KeyID: fmt.Sprintf("key-%d", i.made), Algorithm: string(i.alg), Use: "sig"})
	return nil
}

// Retire leaves the newest key alone.
func (i *Issuer) Retire() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = i.keys[len(i.keys)-1:]
}

// Key gives the key that signs.
func (i *Issuer) Key() *jose.JSONWebKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	key := i.keys[len(i.keys)-1]
	return &key
}

// Sign makes a token of the claims.
func (i *Issuer) Sign(claims map[string]any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: i.alg, Key: *i.Key()}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// ServeHTTP implements http.Handler: the two documents of an issuer, and what a
// test asks of one in another process: POST /sign (claims in, token out),
// /rotate, /retire.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /.well-known/openid-configuration":
		i.document(w, map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/keys", "token_endpoint": i.URL + "/token", "authorization_endpoint": i.URL + "/authorize",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{string(i.alg)},
		})
	case "GET /keys":
		i.document(w, i.public())
	case "POST /sign":
		i.sign(w, r)
	case "POST /rotate":
		if err := i.Rotate(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	case "POST /retire":
		i.Retire()
	default:
		http.NotFound(w, r)
	}
}

func (i *Issuer) document(w http.ResponseWriter, v any) {
	i.Fetches.Add(1)
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (i *Issuer) public() jose.JSONWebKeySet {
	i.mu.Lock()
	defer i.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, k := range i.keys {
		set.Keys = append(set.Keys, k.Public())
	}
	return set
}

func (i *Issuer) sign(w http.ResponseWriter, r *http.Request) {
	var claims map[string]any
	err := json.NewDecoder(r.Body).Decode(&claims)
	if err == nil {
		var token string
		if token, err = i.Sign(claims); err == nil {
			_, err = fmt.Fprint(w, token)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}
