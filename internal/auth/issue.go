package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// The development issuer: its private key lies under certs/dev, clinctl token
// and the tests sign with it. A production config names another issuer, and
// its services hold only that issuer's public keys.
const (
	DevIssuer   = "https://dev.clinsource.invalid"
	DevAudience = "clinsource"
)

// Issue signs a token of the development issuer with the key in keyFile.
func Issue(keyFile, subject string, grants []Grant, ttl time.Duration) (string, error) {
	key, err := readKey(keyFile)
	if err != nil {
		return "", err
	}
	public := jose.JSONWebKey{Key: key.Public()}
	thumb, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", err
	}
	kid := base64.RawURLEncoding.EncodeToString(thumb)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: kid}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	now := time.Now()
	payload, err := json.Marshal(map[string]any{
		"iss": DevIssuer, "aud": DevAudience, "sub": subject, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(ttl).Unix(), "grants": grants,
	})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the development issuer's key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("the development issuer's key %s is not PEM", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the development issuer's key %s: %w", path, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the development issuer's key %s is not ECDSA", path)
	}
	return key, nil
}
