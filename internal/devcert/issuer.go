package devcert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// jwk is a public key as RFC 7517 and 7518 write it.
type jwk struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y"`
	Kid string `json:"kid"`
	Alg string `json:"alg"`
	Use string `json:"use"`
}

// ensureIssuer makes the key pair of the development token issuer, or writes
// the public half again when it does not fit the key. Unlike a leaf a
// damaged key is not replaced unasked: tokens in use would stop working.
func ensureIssuer(dir string) (made bool, err error) {
	keyFile, setFile := filepath.Join(dir, "issuer.key"), filepath.Join(dir, "issuer.jwks.json")
	key, err := readKey(keyFile)
	if errors.Is(err, os.ErrNotExist) {
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			made, err = true, writeKey(keyFile, key)
		}
	}
	if err != nil {
		return made, fmt.Errorf("devcert: the token issuer's key: %w; correct it, or delete it to make a new one", err)
	}
	want, err := keySet(&key.PublicKey)
	if err != nil {
		return made, err
	}
	if have, err := os.ReadFile(setFile); err == nil && bytes.Equal(have, want) {
		return made, nil
	}
	return true, write(setFile, want, publicMode)
}

func keySet(pub *ecdsa.PublicKey) ([]byte, error) {
	point, err := pub.Bytes() // 0x04, X, Y
	if err != nil {
		return nil, fmt.Errorf("devcert: the token issuer's key: %w", err)
	}
	half := len(point) / 2
	k := jwk{
		Kty: "EC", Crv: "P-256", Alg: "ES256", Use: "sig",
		X: base64.RawURLEncoding.EncodeToString(point[1 : 1+half]),
		Y: base64.RawURLEncoding.EncodeToString(point[1+half:]),
	}
	k.Kid = thumbprint(k)
	set, err := json.MarshalIndent(map[string][]jwk{"keys": {k}}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("devcert: %w", err)
	}
	return append(set, '\n'), nil
}

// thumbprint is RFC 7638: SHA-256 over the required members alone, sorted,
// without white space.
func thumbprint(k jwk) string {
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":%q,"kty":%q,"x":%q,"y":%q}`, k.Crv, k.Kty, k.X, k.Y))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
