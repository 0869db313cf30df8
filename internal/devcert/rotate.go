package devcert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Rotation under a running suite takes steps, because everybody has to trust what
// is new before anybody shows it, and to go on trusting what is old until nobody
// does: Announce, wait until all have read it (a second), Adopt; and, when nothing
// of the old is in use any more, Retire. Each step may be run again.

// A Rotation is what is replaced.
type Rotation struct {
	Announce, Adopt, Retire func(dir string, now time.Time) error
}

// The rotations: a leaf is trusted by its authority, so it has one step.
var (
	Leaves   = Rotation{Adopt: locked(adoptLeaves)}
	CA       = Rotation{Announce: locked(announceCA), Adopt: locked(adoptCA), Retire: locked(retireCA)}
	TokenKey = Rotation{Announce: locked(announceTokenKey), Adopt: locked(adoptTokenKey), Retire: locked(retireTokenKey)}
)

// locked runs a step while no other process changes the folder, which must be
// one that Ensure has made.
func locked(step func(dir string, now time.Time) error) func(string, time.Time) error {
	return func(dir string, now time.Time) (err error) {
		if _, err := Ensure(dir, now); err != nil {
			return err
		}
		unlock, err := lock(filepath.Join(dir, ".lock"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unlock()) }()
		return step(dir, now)
	}
}

func adoptLeaves(dir string, now time.Time) error {
	ca, _, err := ensureCA(dir, now)
	if err != nil {
		return err
	}
	return ca.issueAll(dir, now)
}

func (ca authority) issueAll(dir string, now time.Time) error {
	if ca.key == nil {
		return fmt.Errorf("devcert: ca.key is not in %s, so nothing can be issued", dir)
	}
	for _, l := range leaves {
		name := filepath.Join(dir, l.name)
		if err := ca.issue(name+".crt", name+".key", l, now); err != nil {
			return err
		}
	}
	return nil
}

// announceCA makes the next authority, and a bundle of both with the one in use
// first.
func announceCA(dir string, now time.Time) error {
	file := func(name string) string { return filepath.Join(dir, name) }
	if _, err := os.Stat(file("ca.next.crt")); err == nil {
		return nil
	}
	old, err := firstCert(file("ca.crt"))
	if err != nil {
		return err
	}
	next, err := makeCA(now)
	if err != nil {
		return err
	}
	return errors.Join(writeKey(file("ca.next.key"), next.key), writeCerts(file("ca.crt"), old, next.cert.Raw),
		writeCert(file("ca.next.crt"), next.cert.Raw))
}

// adoptCA puts the next authority first and issues all leaves by it.
func adoptCA(dir string, now time.Time) error {
	file := func(name string) string { return filepath.Join(dir, name) }
	cert, err := readCert(file("ca.next.crt"))
	if errors.Is(err, os.ErrNotExist) {
		return errors.New("devcert: no next authority was announced")
	}
	if err != nil {
		return err
	}
	key, err := readKey(file("ca.next.key"))
	if err != nil {
		return err
	}
	old, err := firstCert(file("ca.crt"))
	if err != nil {
		return err
	}
	if bytes.Equal(old, cert.Raw) { // Cut short after this point.
		old = nil
	}
	next := authority{cert, key}
	if err := errors.Join(writeKey(file("ca.key"), key), writeCerts(file("ca.crt"), cert.Raw, old), next.issueAll(dir, now)); err != nil {
		return err
	}
	return errors.Join(os.Remove(file("ca.next.crt")), os.Remove(file("ca.next.key")))
}

// retireCA leaves the authority in use alone in the bundle.
func retireCA(dir string, _ time.Time) error {
	path := filepath.Join(dir, "ca.crt")
	first, err := firstCert(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "ca.next.crt")); err == nil {
		return errors.New("devcert: a next authority is announced and not yet in use; adopt it first")
	}
	return writeCerts(path, first)
}

func firstCert(path string) ([]byte, error) {
	cert, err := readCert(path)
	if err != nil {
		return nil, fmt.Errorf("devcert: %w", err)
	}
	return cert.Raw, nil
}

// writeCerts writes a bundle; nil is left out.
func writeCerts(path string, ders ...[]byte) error {
	var text []byte
	for _, der := range ders {
		if der != nil {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		}
	}
	return write(path, text, publicMode)
}

// announceTokenKey makes the next key of the token issuer and publishes it beside
// the one in use.
func announceTokenKey(dir string, _ time.Time) error {
	next, set := filepath.Join(dir, "issuer.next.key"), filepath.Join(dir, "issuer.jwks.json")
	if _, err := os.Stat(next); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("devcert: %w", err)
	}
	public, err := publicJWK(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := writeKeySet(set, append(readKeySet(set), public)...); err != nil {
		return err
	}
	return writeKey(next, key)
}

// adoptTokenKey signs with the next key from now on.
func adoptTokenKey(dir string, _ time.Time) error {
	err := os.Rename(filepath.Join(dir, "issuer.next.key"), filepath.Join(dir, "issuer.key"))
	if errors.Is(err, os.ErrNotExist) {
		return errors.New("devcert: no next token key was announced")
	}
	return err
}

// retireTokenKey publishes the key in use alone: tokens signed with another are
// refused from then on.
func retireTokenKey(dir string, _ time.Time) error {
	if _, err := os.Stat(filepath.Join(dir, "issuer.next.key")); err == nil {
		return errors.New("devcert: a next token key is announced and not yet in use; adopt it first")
	}
	key, err := readKey(filepath.Join(dir, "issuer.key"))
	if err != nil {
		return err
	}
	public, err := publicJWK(&key.PublicKey)
	if err != nil {
		return err
	}
	return writeKeySet(filepath.Join(dir, "issuer.jwks.json"), public)
}
