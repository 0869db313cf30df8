package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"google.golang.org/grpc/codes"

	"clinsource/internal/devcert"
	"clinsource/internal/fault"
)

// issuer is the development issuer of a test, who signs whatever it is told.
type issuer struct {
	dir string
	key *ecdsa.PrivateKey
	kid string
}

func newIssuer(t testing.TB) issuer {
	t.Helper()
	dir := t.TempDir()
	if _, err := devcert.Ensure(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	key, err := readKey(filepath.Join(dir, "issuer.key"))
	if err != nil {
		t.Fatal(err)
	}
	thumb, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return issuer{dir: dir, key: key, kid: base64.RawURLEncoding.EncodeToString(thumb)}
}

func (i issuer) keyFile() string { return filepath.Join(i.dir, "issuer.key") }
func (i issuer) jwks() string    { return filepath.Join(i.dir, "issuer.jwks.json") }

func (i issuer) verifier(t testing.TB) *Verifier {
	t.Helper()
	v, err := NewVerifier(Config{{Issuer: DevIssuer, Audience: DevAudience, JwksFile: i.jwks()}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// sign signs claims with any key; kid may be "".
func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) *jose.JSONWebSignature {
	t.Helper()
	signing := jose.SigningKey{Algorithm: alg, Key: key}
	if kid != "" {
		signing.Key = jose.JSONWebKey{Key: key, KeyID: kid}
	}
	signer, err := jose.NewSigner(signing, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func compact(t testing.TB, s *jose.JSONWebSignature) string {
	t.Helper()
	out, err := s.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// with gives good claims, changed; nil takes one away.
func with(changes map[string]any) map[string]any {
	claims := map[string]any{
		"iss": DevIssuer, "aud": DevAudience, "sub": "u", "exp": time.Now().Add(time.Hour).Unix(),
		"grants": []Grant{{Role: Monitor, Project: "p", Sites: []string{"s1"}}},
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

func TestClaims(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier(t)
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	cases := map[string]struct {
		claims map[string]any
		good   bool
	}{
		"as issued":               {nil, true},
		"one of two audiences":    {map[string]any{"aud": []string{"x", DevAudience}}, true},
		"no grants":               {map[string]any{"grants": nil}, true},
		"valid since long":        {map[string]any{"nbf": in(-time.Hour)}, true},
		"valid in a moment":       {map[string]any{"nbf": in(5 * time.Second)}, true},
		"fractional times":        {map[string]any{"exp": float64(in(time.Hour)) + .5, "nbf": float64(in(-time.Hour)) + .5}, true},
		"expired":                 {map[string]any{"exp": in(-time.Second)}, false},
		"no expiry":               {map[string]any{"exp": nil}, false},
		"expiry as text":          {map[string]any{"exp": "tomorrow"}, false},
		"not valid yet":           {map[string]any{"nbf": in(time.Minute)}, false},
		"not valid for ever":      {map[string]any{"nbf": 1e300}, false},
		"another audience":        {map[string]any{"aud": "other"}, false},
		"no audience":             {map[string]any{"aud": nil}, false},
		"another issuer":          {map[string]any{"iss": DevIssuer + "/"}, false},
		"no issuer":               {map[string]any{"iss": nil}, false},
		"no subject":              {map[string]any{"sub": nil}, false},
		"empty subject":           {map[string]any{"sub": ""}, false},
		"unknown role":            {map[string]any{"grants": []Grant{{Role: Monitor, Project: "p"}, {Role: "root", Project: "p"}}}, false},
		"no role":                 {map[string]any{"grants": []Grant{{Project: "p"}}}, false},
		"grants of another shape": {map[string]any{"grants": "admin"}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			u, err := v.Verify(t.Context(), "Bearer "+compact(t, sign(t, jose.ES256, i.key, i.kid, with(c.claims))))
			if !c.good {
				refused(t, err, fault.ReasonTokenInvalid)
				return
			}
			if err != nil || u.Subject != "u" {
				t.Errorf("a good token gives %+v, %v", u, err)
			}
		})
	}
}

func refused(t *testing.T, err error, reason string) {
	t.Helper()
	if f := fault.From(err); f == nil || f.Code != codes.Unauthenticated || f.Reason != reason {
		t.Errorf("the answer is %+v, want Unauthenticated %s", f, reason)
	}
}

func TestForgedTokens(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier(t)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := i.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := os.ReadFile(i.jwks())
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, jose.ES256, i.key, i.kid, with(nil))
	parts := strings.Split(compact(t, good), ".")
	encoded := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	admin, err := json.Marshal(with(map[string]any{"grants": []Grant{{Role: Admin}}}))
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"alg none":                        encoded(`{"alg":"none"}`) + "." + parts[1] + ".",
		"alg none with the kid":           encoded(`{"alg":"none","kid":"`+i.kid+`"}`) + "." + parts[1] + "." + parts[2],
		"HS256 with the public key":       compact(t, sign(t, jose.HS256, public, i.kid, with(nil))),
		"HS256 with the keys file":        compact(t, sign(t, jose.HS256, jwks, i.kid, with(nil))),
		"another key under the kid":       compact(t, sign(t, jose.ES256, other, i.kid, with(nil))),
		"no kid":                          compact(t, sign(t, jose.ES256, i.key, "", with(nil))),
		"unknown kid":                     compact(t, sign(t, jose.ES256, i.key, "kid", with(nil))),
		"its own key in the header":       compact(t, embedded(t, other)),
		"changed payload":                 parts[0] + "." + encoded(string(admin)) + "." + parts[2],
		"changed signature":               parts[0] + "." + parts[1] + "." + encoded("x") + parts[2],
		"no signature":                    parts[0] + "." + parts[1] + ".",
		"two parts":                       parts[0] + "." + parts[1],
		"five parts, as if encrypted":     strings.Join(parts, ".") + ".a.b",
		"an unknown critical header":      encoded(`{"alg":"ES256","kid":"`+i.kid+`","crit":["x"],"x":1}`) + "." + parts[1] + "." + parts[2],
		"JSON serialisation, signed well": good.FullSerialize(),
		"JSON that looks like three":      `{"x":".` + parts[1] + `.","payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"JSON with two signatures":        twoSignatures(parts),
		"garbage":                         "garbage", "dots": "..", "empty": "", "NUL": "\x00.\x00.\x00", "spaces": "   ",
		"huge":                 strings.Repeat("A", 1<<20),
		"huge but well signed": compact(t, sign(t, jose.ES256, i.key, i.kid, with(map[string]any{"x": strings.Repeat("x", maxTokenBytes)}))),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), "Bearer "+token)
			refused(t, err, fault.ReasonTokenInvalid)
		})
	}
	if len(v.cache) != 0 {
		t.Errorf("%d refused tokens are remembered", len(v.cache))
	}
}

// embedded signs with a key that the token itself brings along.
func embedded(t *testing.T, key *ecdsa.PrivateKey) *jose.JSONWebSignature {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(with(nil))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func twoSignatures(parts []string) string {
	one := `{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`
	return `{"x":".` + parts[1] + `.","payload":"` + parts[1] + `","signatures":[` + one + "," + one + `]}`
}

func TestAuthorizationValue(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier(t)
	token, err := Issue(i.keyFile(), "u", []Grant{{Role: Monitor, Project: "p"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{"Bearer " + token, "bearer " + token, "BEARER " + token} {
		if u, err := v.Verify(t.Context(), good); err != nil || !u.CanAccess("p") || u.CanAccess("q") {
			t.Errorf("%.8s: %+v, %v", good, u, err)
		}
	}
	_, err = v.Verify(t.Context(), "")
	refused(t, err, fault.ReasonTokenMissing)
	for _, bad := range []string{token, "Basic " + token, "Bearer", "Bearer ", "Bearer  " + token, "Bearer\t" + token, " Bearer " + token} {
		_, err := v.Verify(t.Context(), bad)
		refused(t, err, fault.ReasonTokenInvalid)
	}
}

func TestRefusalTellsNothingOfTheToken(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier(t)
	_, err := v.Verify(t.Context(), "Bearer "+compact(t, sign(t, jose.ES256, i.key, i.kid, with(map[string]any{"aud": "secret-system"}))))
	if shown := fault.From(err).GRPCStatus().String() + err.Error(); strings.Contains(shown, "secret-system") {
		t.Errorf("the refusal says %s", shown)
	}
}

func TestCachedTokenExpires(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier(t)
	now := time.Now()
	v.now = func() time.Time { return now }
	authorization := "Bearer " + compact(t, sign(t, jose.ES256, i.key, i.kid, with(map[string]any{"exp": now.Add(3 * time.Second).Unix()})))
	first, err := v.Verify(t.Context(), authorization)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Second)
	if again, err := v.Verify(t.Context(), authorization); err != nil || again != first {
		t.Errorf("a second later the cache gives %p, %v; want %p", again, err, first)
	}
	now = now.Add(3 * time.Second) // Within cacheFor, after the expiry.
	_, err = v.Verify(t.Context(), authorization)
	refused(t, err, fault.ReasonTokenInvalid)
}

func TestCacheEndsAndIsBounded(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier(t)
	now := time.Now()
	v.now = func() time.Time { return now }
	authorization := "Bearer " + compact(t, sign(t, jose.ES256, i.key, i.kid, with(nil)))
	first, err := v.Verify(t.Context(), authorization)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(cacheFor + time.Millisecond)
	if again, err := v.Verify(t.Context(), authorization); err != nil || again == first {
		t.Errorf("after cacheFor the token was not verified anew: %v", err)
	}
	for n := range maxCached + 10 {
		v.remember([32]byte{byte(n), byte(n >> 8), 1}, first, now.Add(time.Hour))
	}
	if len(v.cache) > maxCached {
		t.Errorf("%d tokens are remembered, more than %d", len(v.cache), maxCached)
	}
}

// TestOnlyDevelopmentTokensBringGrants: a token proves who, and no other issuer's
// claims decide what.
// Shows R20.
func TestOnlyDevelopmentTokensBringGrants(t *testing.T) {
	i := newIssuer(t)
	const hospital = "https://login.hospital.example"
	v, err := NewVerifier(Config{{Issuer: hospital, Audience: DevAudience, JwksFile: i.jwks()}})
	if err != nil {
		t.Fatal(err)
	}
	token := compact(t, sign(t, jose.ES256, i.key, i.kid, with(map[string]any{"iss": hospital})))
	u, err := v.Verify(t.Context(), "Bearer "+token)
	if err != nil || u.Issuer != hospital || u.Subject != "u" || len(u.Grants) != 0 {
		t.Errorf("the hospital's user is %+v, %v", u, err)
	}
	token = compact(t, sign(t, jose.ES256, i.key, i.kid, with(nil)))
	if u, err = i.verifier(t).Verify(t.Context(), "Bearer "+token); err != nil || u.Issuer != DevIssuer || len(u.Grants) != 1 {
		t.Errorf("the development issuer's user is %+v, %v", u, err)
	}
}
