// Package auth answers two questions about a caller: who is it (Verifier, by an
// OIDC bearer token) and what may it do (User, by what the account is granted and
// by the policy file, etc/policy.cedar).
//
// A token is a JWT signed asymmetrically by one of the configured issuers for the
// configured audience, with an expiry. An issuer's public keys come from a file
// (filekeys.go: the development issuer) or from the issuer itself by OIDC
// discovery (remotekeys.go); either way they are followed without a restart. Every
// service verifies for itself: the gateway only passes the token on. A verified
// token is remembered for a few seconds, which bounds how long a change of the
// issuer's keys goes unseen; its expiry is checked each time.
//
// The token grants nothing, but for the development issuer's: the registry keeps
// grants and disabled accounts (Resolve, package accounts). A grant says which role,
// where; the policy says what the role may do. User.May puts both together and gives
// the scope that a query must keep within.
package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
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
	clockLeeway   = 10 * time.Second // Of nbf; exp has none.
)

// Config says whose tokens are taken: one entry or more.
type Config = []Issuer

// Issuer is one whose tokens are taken.
type Issuer struct {
	Issuer   string // The iss claim, exactly. Without JwksFile: the https URL to discover its keys at.
	Audience string // One of the aud claim.
	JwksFile string `json:",optional"` // The issuer's public keys (JWKS, JSON), in place of discovery.
	CaFile   string `json:",optional"` // Authorities of the issuer's HTTPS certificate, PEM; default: the system's.
}

// ErrExpired is in the chain of the refusal of a token that the issuer did sign,
// and whose time is over: whoever holds it guesses nothing.
var ErrExpired = errors.New("expired")

// Verifier verifies bearer tokens.
type Verifier struct {
	issuers map[string]*trusted // By iss.
	now     func() time.Time
	mu      sync.Mutex
	cache   map[[sha256.Size]byte]remembered
}

// trusted is an issuer with its keys.
type trusted struct {
	verifier *oidc.IDTokenVerifier
	keys     keys
}

// keys finds an issuer's keys of a kid. A fault is for the caller as it is; any
// other error means that the token is not the issuer's.
type keys interface {
	find(ctx context.Context, kid string) ([]jose.JSONWebKey, error)
}

type remembered struct {
	user          *User
	expiry, until time.Time
}

// NewVerifier makes a verifier; it reads files and asks no issuer. It refuses a
// config that names no issuer or no audience: it would take anybody's tokens, or none.
func NewVerifier(c Config) (*Verifier, error) {
	if len(c) == 0 {
		return nil, errors.New("Tokens needs at least one entry with Issuer and Audience: whose tokens are taken, and issued for whom")
	}
	v := &Verifier{issuers: map[string]*trusted{}, now: time.Now, cache: map[[sha256.Size]byte]remembered{}}
	for _, i := range c {
		if i.Issuer == "" || i.Audience == "" {
			return nil, errors.New("each entry of Tokens needs Issuer and Audience: whose tokens are taken, and issued for whom")
		}
		if v.issuers[i.Issuer] != nil {
			return nil, fmt.Errorf("Tokens names the issuer %s twice", i.Issuer)
		}
		k, err := i.keys(v.clock)
		if err != nil {
			return nil, err
		}
		v.issuers[i.Issuer] = &trusted{keys: k, verifier: oidc.NewVerifier(i.Issuer, keySet{k}, &oidc.Config{
			ClientID:             i.Audience,
			SupportedSigningAlgs: []string{oidc.ES256, oidc.ES384, oidc.RS256, oidc.PS256, oidc.EdDSA},
			SkipExpiryCheck:      true, // Checked in verify, after the signature: an expired token is no forged one.
		})}
	}
	return v, nil
}

func (v *Verifier) clock() time.Time { return v.now() }

func (i Issuer) keys(now func() time.Time) (keys, error) {
	if i.JwksFile == "" {
		return newRemoteKeys(i, now)
	}
	if i.CaFile != "" {
		return nil, fmt.Errorf("Tokens of %s: CaFile is for an issuer that is asked for its keys; with JwksFile none is", i.Issuer)
	}
	return newFileKeys(i.JwksFile, now)
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
	u, expiry, err := v.verify(ctx, authorization, token)
	if away := new(fault.Error); errors.As(err, &away) {
		return nil, away
	}
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
	v.cache[key] = remembered{user: u, expiry: expiry, until: v.now().Add(cacheFor)}
}

type claims struct {
	NotBefore *float64 `json:"nbf"`
	Grants    []Grant  `json:"grants"`
}

func (v *Verifier) verify(ctx context.Context, authorization, token string) (*User, time.Time, error) {
	claimed, _ := Claimed(authorization)
	issuer := v.issuers[claimed] // The verification holds iss against its name again.
	if issuer == nil {
		return nil, time.Time{}, errors.New("not of an issuer in Tokens")
	}
	var away error
	id, err := issuer.verifier.Verify(context.WithValue(ctx, awayKey{}, &away), token)
	if away != nil {
		return nil, time.Time{}, away
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return nil, time.Time{}, err
	}
	switch {
	case id.Subject == "":
		return nil, time.Time{}, errors.New("no sub")
	case !v.now().Before(id.Expiry): // Without exp: the year 1.
		return nil, time.Time{}, ErrExpired
	case c.NotBefore != nil && *c.NotBefore > float64(v.now().Add(clockLeeway).Unix()):
		return nil, time.Time{}, errors.New("not valid yet")
	}
	u, err := userOf(id.Issuer, id.Subject, c.Grants)
	return u, id.Expiry, err
}

// Claimed gives issuer and subject as the token of an Authorization value names
// them, unverified: to choose whose keys to try, or whose limits count, and for
// nothing that matters.
func Claimed(authorization string) (issuer, subject string) {
	_, token, _ := strings.Cut(authorization, " ")
	parts := strings.Split(token, ".")
	if len(token) > maxTokenBytes || len(parts) != 3 {
		return "", ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", ""
	}
	var c struct {
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
	}
	if json.Unmarshal(payload, &c) != nil {
		return "", ""
	}
	return c.Issuer, c.Subject
}

// awayKey carries an error out through go-oidc, which keeps only its text.
type awayKey struct{}

// keySet verifies a signature with the issuer's keys, chosen by the token's kid.
type keySet struct{ keys keys }

var _ oidc.KeySet = keySet{}

var signatureAlgorithms = []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.RS256, jose.PS256, jose.EdDSA}

// VerifySignature implements oidc.KeySet.
func (k keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, signatureAlgorithms) // The JSON forms are no bearer tokens.
	if err != nil {
		return nil, err
	}
	header := jws.Signatures[0].Header
	if header.KeyID == "" {
		return nil, errors.New("no kid")
	}
	found, err := k.keys.find(ctx, header.KeyID)
	if err != nil {
		var f *fault.Error
		if away, ok := ctx.Value(awayKey{}).(*error); ok && errors.As(err, &f) {
			*away = f
		}
		return nil, err
	}
	for _, key := range found {
		if key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		if payload, err := jws.Verify(key); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("no key of the issuer verifies the signature")
}
