// Package auth answers two questions about a caller: who is it (Verifier, by an
// OIDC bearer token) and what may it do (User, by the one table in policy.go).
//
// A token is a JWT signed asymmetrically by the configured issuer for the
// configured audience, with an expiry; its claim "grants" lists roles in
// projects. Every service verifies it for itself: the gateway only passes it
// on. A verified token is remembered for a few seconds, which bounds how long a
// change of the issuer's keys goes unseen; its expiry is checked each time.
package auth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	jose "github.com/go-jose/go-jose/v4"

	"clinsource/internal/fault"
)

// Bounds of a token and of what is remembered of it.
const (
	maxTokenBytes = 8 << 10
	maxCached     = 10_000
	cacheFor      = 5 * time.Second
	clockLeeway   = 10 * time.Second
)

// Config says whose tokens are taken.
type Config struct {
	Issuer   string // The iss claim, exactly.
	Audience string // One of the aud claim.
	JwksFile string // The issuer's public keys (JWKS, JSON).
}

// Verifier verifies bearer tokens.
type Verifier struct {
	verifier *oidc.IDTokenVerifier
	now      func() time.Time
	mu       sync.Mutex
	cache    map[[sha256.Size]byte]verified
}

type verified struct {
	user          *User
	expiry, until time.Time
}

// NewVerifier reads the issuer's keys and makes a verifier. It refuses a config
// that names no issuer or no audience: it would take anybody's tokens, or none.
func NewVerifier(c Config) (*Verifier, error) {
	if c.Issuer == "" || c.Audience == "" {
		return nil, errors.New("Tokens needs Issuer and Audience: whose tokens are taken, and issued for whom")
	}
	keys, err := loadKeys(c.JwksFile)
	if err != nil {
		return nil, err
	}
	v := &Verifier{now: time.Now, cache: map[[sha256.Size]byte]verified{}}
	v.verifier = oidc.NewVerifier(c.Issuer, keys, &oidc.Config{
		ClientID:             c.Audience,
		SupportedSigningAlgs: []string{oidc.ES256, oidc.ES384, oidc.RS256, oidc.PS256, oidc.EdDSA},
		Now:                  func() time.Time { return v.now() },
	})
	return v, nil
}

// Verify gives the user of an Authorization value ("Bearer TOKEN"). Every
// refusal is Unauthenticated and says nothing of the token's content.
func (v *Verifier) Verify(ctx context.Context, authorization string) (*User, error) {
	if authorization == "" {
		return nil, fault.Unauthenticated(fault.ReasonTokenMissing, "a bearer token is needed")
	}
	scheme, token, ok := strings.Cut(authorization, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || len(token) > maxTokenBytes {
		return nil, fault.Unauthenticated(fault.ReasonTokenInvalid, "the authorization must be Bearer and a token")
	}
	key := sha256.Sum256([]byte(token))
	if u := v.cached(key); u != nil {
		return u, nil
	}
	u, expiry, err := v.verify(ctx, token)
	if err != nil {
		return nil, fault.Unauthenticated(fault.ReasonTokenInvalid, "the token is malformed, expired or not for this system").Because(err)
	}
	v.remember(key, u, expiry)
	return u, nil
}

func (v *Verifier) cached(key [sha256.Size]byte) *User {
	v.mu.Lock()
	defer v.mu.Unlock()
	c, ok := v.cache[key]
	now := v.now()
	if !ok || now.After(c.until) || now.After(c.expiry) {
		return nil
	}
	return c.user
}

func (v *Verifier) remember(key [sha256.Size]byte, u *User, expiry time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.cache) >= maxCached {
		clear(v.cache)
	}
	v.cache[key] = verified{user: u, expiry: expiry, until: v.now().Add(cacheFor)}
}

type claims struct {
	NotBefore *float64 `json:"nbf"`
	Grants    []Grant  `json:"grants"`
}

func (v *Verifier) verify(ctx context.Context, token string) (*User, time.Time, error) {
	id, err := v.verifier.Verify(ctx, token)
	if err != nil {
		return nil, time.Time{}, err
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return nil, time.Time{}, err
	}
	if c.NotBefore != nil && *c.NotBefore > float64(v.now().Add(clockLeeway).Unix()) {
		return nil, time.Time{}, errors.New("not valid yet")
	}
	if id.Subject == "" {
		return nil, time.Time{}, errors.New("no sub")
	}
	u, err := userOf(id.Issuer, id.Subject, c.Grants)
	return u, id.Expiry, err
}

// fileKeys verifies against the keys of a JWKS file, chosen by the token's kid.
type fileKeys struct{ set jose.JSONWebKeySet }

func loadKeys(path string) (*fileKeys, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the issuer's keys: %w", err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("the issuer's keys in %s: %w", path, err)
	}
	if len(set.Keys) == 0 {
		return nil, fmt.Errorf("the issuer's keys in %s: there is none", path)
	}
	for _, k := range set.Keys {
		if !k.Valid() || !k.IsPublic() || k.KeyID == "" {
			return nil, fmt.Errorf("the issuer's keys in %s: each must be a public key with a kid", path)
		}
	}
	return &fileKeys{set: set}, nil
}

var signatureAlgorithms = []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.RS256, jose.PS256, jose.EdDSA}

// VerifySignature implements oidc.KeySet.
func (k *fileKeys) VerifySignature(_ context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, signatureAlgorithms) // The JSON forms are no bearer tokens.
	if err != nil {
		return nil, err
	}
	header := jws.Signatures[0].Header
	for _, key := range k.set.Key(header.KeyID) {
		if key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		if payload, err := jws.Verify(key); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("no key of the issuer verifies the signature")
}
