package devcert

import (
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
	"slices"
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
	want, err := publicJWK(&key.PublicKey)
	if err != nil {
		return made, err
	}
	if slices.Contains(readKeySet(setFile), want) { // Beside others, while the key is rotated.
		return made, nil
	}
	return true, writeKeySet(setFile, want)
}

// readKeySet gives the keys in the file; none if it holds anything else.
func readKeySet(path string) []jwk {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &set) != nil {
		return nil
	}
	return set.Keys
}

func writeKeySet(path string, keys ...jwk) error {
	set, err := json.MarshalIndent(map[string][]jwk{"keys": keys}, "", "  ")
	if err != nil {
		return fmt.Errorf("devcert: %w", err)
	}
	return write(path, append(set, '\n'), publicMode)
}

func publicJWK(pub *ecdsa.PublicKey) (jwk, error) {
	point, err := pub.Bytes() // 0x04, X, Y
	if err != nil {
		return jwk{}, fmt.Errorf("devcert: the token issuer's key: %w", err)
	}
	half := len(point) / 2
	k := jwk{
		Kty: "EC", Crv: "P-256", Alg: "ES256", Use: "sig",
		X: base64.RawURLEncoding.EncodeToString(point[1 : 1+half]),
		Y: base64.RawURLEncoding.EncodeToString(point[1+half:]),
	}
	k.Kid = thumbprint(k)
	return k, nil
}

// thumbprint is RFC 7638: SHA-256 over the required members alone, sorted,
// without white space.
func thumbprint(k jwk) string {
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":%q,"kty":%q,"x":%q,"y":%q}`, k.Crv, k.Kty, k.X, k.Y))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
