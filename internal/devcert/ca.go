package devcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"
)

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey // nil when ca.key is not there: enough as long as nothing is to be issued
}

// ensureCA reads the CA or makes a new one. A CA whose key was taken away is
// left as it is: replacing it would silently cut off everything that trusts it.
func ensureCA(dir string, now time.Time) (authority, bool, error) {
	certFile, keyFile := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	cert, err := readCert(certFile)
	if err != nil || now.Add(renewBefore).After(cert.NotAfter) {
		ca, err := newCA(certFile, keyFile, now)
		return ca, err == nil, err
	}
	key, err := readKey(keyFile)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return authority{cert: cert}, false, nil
	case err != nil:
		return authority{}, false, fmt.Errorf("devcert: %w; correct it, or delete %s to make all development certificates anew", err, dir)
	case !samePublic(cert.PublicKey, &key.PublicKey):
		return authority{}, false, fmt.Errorf("devcert: %s is not the key of %s; delete %s to make all development certificates anew", keyFile, certFile, dir)
	}
	return authority{cert, key}, false, nil
}

func newCA(certFile, keyFile string, now time.Time) (authority, error) {
	ca, err := makeCA(now)
	if err != nil {
		return authority{}, err
	}
	// The certificate last: without it the next call begins again.
	return ca, errors.Join(writeKey(keyFile, ca.key), writeCert(certFile, ca.cert.Raw))
}

func makeCA(now time.Time) (authority, error) {
	key, template, err := newKeyAndTemplate("clinsource development CA", now, now.Add(caLife))
	if err != nil {
		return authority{}, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return authority{}, fmt.Errorf("devcert: issue the CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return authority{}, fmt.Errorf("devcert: issue the CA: %w", err)
	}
	return authority{cert, key}, nil
}

func (ca authority) ensureLeaf(dir string, l leaf, now time.Time) (made bool, err error) {
	certFile, keyFile := filepath.Join(dir, l.name+".crt"), filepath.Join(dir, l.name+".key")
	if ca.holds(certFile, keyFile, l, now) {
		return false, nil
	}
	if ca.key == nil {
		return false, fmt.Errorf("devcert: %s is to be issued and ca.key is not there; bring it back, or delete %s to make all development certificates anew", certFile, dir)
	}
	err = ca.issue(certFile, keyFile, l, now)
	return err == nil, err
}

func (ca authority) issue(certFile, keyFile string, l leaf, now time.Time) error {
	key, template, err := newKeyAndTemplate(l.name, now, earlier(now.Add(leafLife), ca.cert.NotAfter))
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = l.usages()
	template.DNSNames, template.IPAddresses = l.dnsNames(), l.addresses()
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return fmt.Errorf("devcert: issue %s: %w", l.name, err)
	}
	return errors.Join(writeKey(keyFile, key), writeCert(certFile, der))
}

// holds reports whether a leaf can stay: of this CA, with its key, good for
// another week, and saying what this version of the program wants it to say.
func (ca authority) holds(certFile, keyFile string, l leaf, now time.Time) bool {
	cert, err := readCert(certFile)
	if err != nil {
		return false
	}
	key, err := readKey(keyFile)
	if err != nil || !samePublic(cert.PublicKey, &key.PublicKey) {
		return false
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	if now.Before(cert.NotBefore) {
		return false
	}
	_, err = cert.Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: now.Add(renewBefore), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil &&
		cert.Subject.CommonName == l.name &&
		slices.Equal(cert.DNSNames, l.dnsNames()) &&
		len(cert.IPAddresses) == len(l.addresses()) &&
		slices.Equal(cert.ExtKeyUsage, l.usages())
}

// newKeyAndTemplate gives a fresh key and what all certificates have in
// common. The common name is for people and for etcd's role-based access;
// nothing in the suite decides by it.
func newKeyAndTemplate(name string, now, until time.Time) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("devcert: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, fmt.Errorf("devcert: %w", err)
	}
	return key, &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"clinsource development"}},
		NotBefore:    now.Add(-backdate),
		NotAfter:     until,
	}, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
