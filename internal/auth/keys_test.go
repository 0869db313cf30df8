package auth

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

func TestKeysFile(t *testing.T) {
	i := newIssuer(t)
	written := func(keys ...jose.JSONWebKey) string {
		data, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	public := jose.JSONWebKey{Key: i.key.Public(), KeyID: "a", Algorithm: "ES256"}
	for name, c := range map[string]struct{ content, says string }{
		"public":            {written(public), ""},
		"two public":        {written(public, jose.JSONWebKey{Key: i.key.Public(), KeyID: "b"}), ""},
		"empty file":        {"", "keys.json"},
		"not JSON":          {"-----BEGIN PUBLIC KEY-----", "keys.json"},
		"JSON twice":        {written(public) + written(public), "keys.json"},
		"no keys":           {`{"keys":[]}`, "there is none"},
		"something else":    {`{}`, "there is none"},
		"a private key":     {written(jose.JSONWebKey{Key: i.key, KeyID: "a"}), "public key with a kid"},
		"private among two": {written(public, jose.JSONWebKey{Key: i.key, KeyID: "b"}), "public key with a kid"},
		"a shared secret":   {written(jose.JSONWebKey{Key: []byte("secret"), KeyID: "a"}), "public key with a kid"},
		"no kid":            {written(jose.JSONWebKey{Key: i.key.Public()}), "public key with a kid"},
		"off the curve":     {`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}]}`, "keys.json"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys.json")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := NewVerifier(Config{{Issuer: DevIssuer, Audience: DevAudience, JwksFile: path}})
			switch {
			case c.says == "" && err != nil:
				t.Errorf("it is refused: %v", err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("the error is %v, want one with %q", err, c.says)
			}
		})
	}
}

func TestConfigIsWhole(t *testing.T) {
	i := newIssuer(t)
	for name, c := range map[string]Issuer{
		"no file":     {Issuer: DevIssuer, Audience: DevAudience, JwksFile: filepath.Join(t.TempDir(), "none")},
		"no issuer":   {Audience: DevAudience, JwksFile: i.jwks()},
		"no audience": {Issuer: DevIssuer, JwksFile: i.jwks()},
	} {
		if _, err := NewVerifier(Config{c}); err == nil {
			t.Errorf("%s: the verifier is made", name)
		}
	}
}

func TestConfigNamesEachIssuerOnce(t *testing.T) {
	i := newIssuer(t)
	good := Issuer{Issuer: DevIssuer, Audience: DevAudience, JwksFile: i.jwks()}
	for name, c := range map[string]Config{
		"none":           {},
		"twice":          {good, good},
		"plaintext":      {good, {Issuer: "http://login.example", Audience: "a"}},
		"no URL":         {good, {Issuer: "login.example", Audience: "a"}},
		"a query":        {good, {Issuer: "https://login.example/?x", Audience: "a"}},
		"a user":         {good, {Issuer: "https://u@login.example/", Audience: "a"}},
		"no audience":    {good, {Issuer: "https://login.example"}},
		"no CA file":     {good, {Issuer: "https://login.example", Audience: "a", CaFile: filepath.Join(t.TempDir(), "none")}},
		"no certificate": {good, {Issuer: "https://login.example", Audience: "a", CaFile: i.jwks()}},
		"a CA for files": {{Issuer: DevIssuer, Audience: DevAudience, JwksFile: i.jwks(), CaFile: i.dir + "/ca.crt"}},
	} {
		if _, err := NewVerifier(c); err == nil {
			t.Errorf("%s: the verifier is made", name)
		}
	}
	if _, err := NewVerifier(Config{good, {Issuer: "https://login.example/realms/trial", Audience: "a"}}); err != nil {
		t.Errorf("a second issuer, which is not there: %v", err)
	}
}

// The keys of a file change hands without a restart: both are known for a
// while, then the new one alone.
func TestKeysFileIsFollowed(t *testing.T) {
	i, next := newIssuer(t), newIssuer(t)
	v := i.verifier(t)
	now := time.Now()
	v.now = func() time.Time { return now }
	token := func(i issuer) string {
		return "Bearer " + compact(t, sign(t, jose.ES256, i.key, i.kid, with(map[string]any{"jti": now.String()})))
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(i.jwks(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		now = now.Add(cacheFor + time.Second)
	}
	set := func(of ...issuer) string {
		var keys jose.JSONWebKeySet
		for _, i := range of {
			keys.Keys = append(keys.Keys, jose.JSONWebKey{Key: i.key.Public(), KeyID: i.kid, Algorithm: "ES256"})
		}
		text, err := json.Marshal(keys)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	taken := func(step string, old, new bool) {
		t.Helper()
		for name, c := range map[string]struct {
			issuer
			want bool
		}{"old": {i, old}, "new": {next, new}} {
			if _, err := v.Verify(t.Context(), token(c.issuer)); (err == nil) != c.want {
				t.Errorf("%s: a token of the %s key: %v", step, name, err)
			}
		}
	}
	taken("before", true, false)
	write(set(i, next))
	taken("overlap", true, true)
	write("half a fi")
	taken("a file half written", true, true)
	write(set(next))
	taken("after", false, true)
}

func TestIssueNeedsTheKey(t *testing.T) {
	i := newIssuer(t)
	for name, path := range map[string]string{
		"none": filepath.Join(t.TempDir(), "none"), "no PEM": i.jwks(), "a certificate": filepath.Join(i.dir, "ca.crt"),
	} {
		if token, err := Issue(path, "u", nil, time.Hour); err == nil || token != "" {
			t.Errorf("%s: it issues %q", name, token)
		}
	}
}
