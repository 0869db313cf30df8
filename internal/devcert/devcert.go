// Package devcert makes the certificates and the token issuer's key that a
// developer's machine needs, so that `make run` uses the same mutual TLS and
// the same signed tokens as production without anybody having to set them up.
//
// What lies in the folder afterwards (certs/README.md says who holds what):
//
//	ca.crt ca.key                  the development CA, 10 years
//	NAME.crt NAME.key              one leaf per process and one for a partner, 1 year
//	issuer.key issuer.jwks.json    the development token issuer, ES256
//	audit.key audit.pub            what signs the audit log, Ed25519
//
// All other keys are ECDSA P-256. The folder is meant for one machine: whoever can
// read it can be any process and issue any token. Production brings its own
// CA and its own OIDC issuer and never runs this package.
//
// All of it can be rotated under a running suite (rotate.go): the authority and
// the token key in two steps, with an overlap in which both are trusted.
package devcert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 365 * 24 * time.Hour

	// renewBefore is how long before its expiry a certificate is replaced.
	renewBefore = 7 * 24 * time.Hour
	// backdate lets a machine whose clock is behind accept a new certificate.
	backdate = time.Hour
)

// leaf is what one certificate has to say.
type leaf struct {
	name   string
	local  bool // also serves localhost, 127.0.0.1 and ::1
	server bool // may serve; all may call
	// members are further names: etcd's members find one another by them, and
	// verify that a caller comes from one of these hosts.
	members []string
}

// leaves are the processes of the design. The gateway and etcd are reached by
// address from tools and browsers; the RPC services only under their names.
// suite (the launcher, asking for health), operator (clinctl, as the owner of the
// database) and partner only call.
var leaves = []leaf{
	{name: "vitals-rpc", server: true},
	{name: "dicom-rpc", server: true},
	{name: "epro-rpc", server: true},
	{name: "subject-rpc", server: true},
	{name: "project-api", server: true, local: true},
	{name: "etcd", server: true, local: true, members: []string{"etcd-1", "etcd-2", "etcd-3"}},
	{name: "postgres", server: true, local: true},
	{name: "suite"},
	{name: "operator"},
	{name: "partner"},
}

func (l leaf) dnsNames() []string {
	names := append([]string{l.name}, l.members...) // the process's name first: mtls.PeerName takes that
	if l.local {
		names = append(names, "localhost")
	}
	return names
}

func (l leaf) addresses() []net.IP {
	if l.local {
		return []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	return nil
}

func (l leaf) usages() []x509.ExtKeyUsage {
	if l.server {
		return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
}

// Ensure makes what is missing in dir, unusable or within seven days of its
// expiry, and leaves the rest alone; created tells whether it wrote anything.
// Leaves are renewed under the CA that is there; a new CA, made when there is
// none or it is about to expire, renews all leaves. Two processes may call it
// at once: the second waits for the first. Files appear whole (written aside,
// then renamed), keys readable by their owner only.
func Ensure(dir string, now time.Time) (created bool, err error) {
	// 0755: ca.crt is for everybody who calls the gateway, and each key
	// protects itself by its mode.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, fmt.Errorf("devcert: %w", err)
	}
	unlock, err := lock(filepath.Join(dir, ".lock"))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	ca, newCA, err := ensureCA(dir, now)
	if err != nil {
		return newCA, err
	}
	created = newCA
	for _, l := range leaves {
		made, err := ca.ensureLeaf(dir, l, now)
		created = created || made
		if err != nil {
			return created, err
		}
	}
	for _, ensure := range []func(string) (bool, error){ensureIssuer, ensureAudit} {
		made, err := ensure(dir)
		created = created || made
		if err != nil {
			return created, err
		}
	}
	return created, nil
}
