package devcert

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// trusted says whether the leaf is issued by any authority in the bundle.
func trusted(t *testing.T, leaf, bundle []byte) bool {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "leaf.crt")
	if err := os.WriteFile(path, leaf, 0o600); err != nil {
		t.Fatal(err)
	}
	cert, err := readCert(path)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

func TestAuthorityRotatesWithAnOverlap(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ensure(t, dir, now)
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for round := range 2 {
		oldLeaf, oldCA := read("vitals-rpc.crt"), read("ca.crt")
		if err := CA.Adopt(dir, now); err == nil {
			t.Fatal("an authority that nobody announced is adopted")
		}
		for range 2 { // Each step may be run again.
			if err := CA.Announce(dir, now); err != nil {
				t.Fatal(err)
			}
		}
		if string(read("vitals-rpc.crt")) != string(oldLeaf) || string(read("ca.crt")) == string(oldCA) {
			t.Error("an announcement changes the bundle and no leaf")
		}
		if err := CA.Retire(dir, now); err == nil {
			t.Error("the authority in use is retired")
		}
		if ensure(t, dir, now) {
			t.Error("Ensure changes something in the overlap")
		}
		overlap := read("ca.crt")
		if err := CA.Adopt(dir, now); err != nil {
			t.Fatal(err)
		}
		leaf := read("vitals-rpc.crt")
		if !trusted(t, leaf, overlap) || !trusted(t, oldLeaf, read("ca.crt")) || trusted(t, leaf, oldCA) {
			t.Errorf("round %d: in the overlap somebody is not trusted, or the new leaf is of the old authority", round)
		}
		if ensure(t, dir, now) {
			t.Error("Ensure changes something after the adoption")
		}
		if err := CA.Retire(dir, now); err != nil {
			t.Fatal(err)
		}
		if trusted(t, oldLeaf, read("ca.crt")) || !trusted(t, leaf, read("ca.crt")) {
			t.Error("after the retirement the old leaf is trusted, or the new one is not")
		}
	}
	leaf := read("vitals-rpc.crt")
	if err := Leaves.Adopt(dir, now); err != nil {
		t.Fatal(err)
	}
	if string(read("vitals-rpc.crt")) == string(leaf) || !trusted(t, read("vitals-rpc.crt"), read("ca.crt")) {
		t.Error("the leaf is not anew, or of another authority")
	}
}

func TestTokenKeyRotatesWithAnOverlap(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ensure(t, dir, now)
	set := func() []jwk { return readKeySet(filepath.Join(dir, "issuer.jwks.json")) }
	for range 2 {
		first := set()
		if err := TokenKey.Adopt(dir, now); err == nil {
			t.Fatal("a key that nobody announced is adopted")
		}
		for range 2 {
			if err := TokenKey.Announce(dir, now); err != nil {
				t.Fatal(err)
			}
		}
		both := set()
		if len(first) != 1 || len(both) != 2 || both[0] != first[0] {
			t.Fatalf("%d keys become %d", len(first), len(both))
		}
		if err := TokenKey.Adopt(dir, now); err != nil {
			t.Fatal(err)
		}
		if ensure(t, dir, now) || len(set()) != 2 {
			t.Error("Ensure changes something in the overlap")
		}
		if err := TokenKey.Retire(dir, now); err != nil {
			t.Fatal(err)
		}
		if left := set(); len(left) != 1 || left[0] != both[1] {
			t.Errorf("left are %v", left)
		}
	}
}
