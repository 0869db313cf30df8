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
			_, err := NewVerifier(Config{Issuer: DevIssuer, Audience: DevAudience, JwksFile: path})
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
	for name, c := range map[string]Config{
		"no file":     {Issuer: DevIssuer, Audience: DevAudience, JwksFile: filepath.Join(t.TempDir(), "none")},
		"no issuer":   {Audience: DevAudience, JwksFile: i.jwks()},
		"no audience": {Issuer: DevIssuer, JwksFile: i.jwks()},
	} {
		if _, err := NewVerifier(c); err == nil {
			t.Errorf("%s: the verifier is made", name)
		}
	}
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
