package mtls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// paths are the files of one source; ca is empty at the HTTPS edge.
type paths struct{ cert, key, ca string }

// contents are the bytes of paths at one moment.
type contents struct{ cert, key, ca []byte }

func (c contents) equal(d contents) bool {
	return bytes.Equal(c.cert, d.cert) && bytes.Equal(c.key, d.key) && bytes.Equal(c.ca, d.ca)
}

// material is what contents mean, checked once so that a handshake need not.
type material struct {
	pair     tls.Certificate // Leaf is set
	pool     *x509.CertPool  // nil at the HTTPS edge
	caExpiry time.Time       // the certificate in pool that expires first
}

func (p paths) read() (contents, error) {
	var c contents
	for _, f := range []struct {
		path string
		role string
		into *[]byte
	}{
		{p.cert, "certificate (CertFile)", &c.cert},
		{p.key, "private key (KeyFile)", &c.key},
		{p.ca, "certificate authority (CaFile, at servers ClientCaFile)", &c.ca},
	} {
		if f.path == "" {
			continue
		}
		data, err := os.ReadFile(f.path)
		if err != nil {
			return contents{}, fmt.Errorf("mtls: the %s cannot be read: %w; development certificates are made by `make run`, others are described in certs/README.md", f.role, err)
		}
		*f.into = data
	}
	return c, nil
}

// parse checks everything that would otherwise fail at the first handshake,
// on the other side of the network, as "bad certificate".
func (p paths) parse(c contents, usage x509.ExtKeyUsage, now time.Time) (*material, error) {
	pair, err := tls.X509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, fmt.Errorf("mtls: %s and %s are not a certificate with its key: %w", p.cert, p.key, err)
	}
	if err := checkLeaf(pair.Leaf, usage, now); err != nil {
		return nil, fmt.Errorf("mtls: %s: %w", p.cert, err)
	}
	m := &material{pair: pair}
	if p.ca != "" {
		if m.pool, m.caExpiry, err = parseCA(c.ca, now); err != nil {
			return nil, fmt.Errorf("mtls: %s: %w", p.ca, err)
		}
	}
	return m, nil
}

func checkLeaf(leaf *x509.Certificate, usage x509.ExtKeyUsage, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate expired at %s; issue a new one", leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate is not valid before %s; is this machine's clock right?", leaf.NotBefore.UTC().Format(time.RFC3339))
	case len(leaf.DNSNames) == 0:
		return fmt.Errorf("the certificate has no DNS name among its subject alternative names; the common name (CN=%s) is not enough, Go ignores it: issue it again with subjectAltName = DNS:NAME (certs/README.md has the lines)", leaf.Subject.CommonName)
	case !allows(leaf, usage):
		return fmt.Errorf("the certificate's extended key usage lacks %s; issue it again with extendedKeyUsage = serverAuth,clientAuth", usageName(usage))
	}
	return nil
}

// allows follows x509.Verify: a certificate without extended key usages is
// good for all of them.
func allows(leaf *x509.Certificate, usage x509.ExtKeyUsage) bool {
	if len(leaf.ExtKeyUsage) == 0 && len(leaf.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(leaf.ExtKeyUsage, usage) || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
}

func usageName(usage x509.ExtKeyUsage) string {
	if usage == x509.ExtKeyUsageClientAuth {
		return "clientAuth"
	}
	return "serverAuth"
}

// parseCA reads every certificate of a bundle. While a CA is being replaced
// the bundle holds the old one beside the new; one of them may have expired,
// not all.
func parseCA(data []byte, now time.Time) (*x509.CertPool, time.Time, error) {
	pool := x509.NewCertPool()
	var first, last time.Time
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("a certificate in this file cannot be read: %w", err)
		}
		if !cert.BasicConstraintsValid || !cert.IsCA {
			return nil, time.Time{}, fmt.Errorf("the certificate of %q is not a certificate authority (basicConstraints CA:TRUE is missing); name the CA that issued the peers' certificates, not a peer's own certificate", cert.Subject)
		}
		pool.AddCert(cert)
		if first.IsZero() || cert.NotAfter.Before(first) {
			first = cert.NotAfter
		}
		if cert.NotAfter.After(last) {
			last = cert.NotAfter
		}
	}
	switch {
	case first.IsZero():
		return nil, time.Time{}, errors.New("the file holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
	case now.After(last):
		return nil, time.Time{}, fmt.Errorf("the certificate authority expired at %s; put the new one into this file", last.UTC().Format(time.RFC3339))
	}
	return pool, first, nil
}
