package mtls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// testCA issues whatever a test wants to see refused or accepted.
type testCA struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newTestCA(t *testing.T, change ...func(*x509.Certificate)) testCA {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	for _, c := range change {
		c(template)
	}
	key := newKey(t)
	return testCA{t, issue(t, template, template, key, key), key}
}

// pair is a certificate with its key, both PEM.
type pair struct{ cert, key []byte }

// leaf issues a certificate for name, by default good for the hour around now
// and for both sides of a connection.
func (ca testCA) leaf(name string, change ...func(*x509.Certificate)) pair {
	ca.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, c := range change {
		c(template)
	}
	key := newKey(ca.t)
	cert := issue(ca.t, template, ca.cert, key, ca.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		ca.t.Fatal(err)
	}
	return pair{encode(cert), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
}

func (ca testCA) pem() []byte { return encode(ca.cert) }

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func issue(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func encode(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// expiredAnHourAgo and the like change a template.
func expiredAnHourAgo(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-3*time.Hour), time.Now().Add(-time.Hour)
}

func twoHoursAgo() time.Time { return time.Now().Add(-2 * time.Hour) }

func notYetValid(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }

func withoutSAN(c *x509.Certificate) { c.DNSNames = nil }

func only(u x509.ExtKeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{u} }
}

// store is a folder of certificate files.
type store struct {
	t   *testing.T
	dir string
}

func newStore(t *testing.T) store { return store{t, t.TempDir()} }

func (s store) path(name string) string { return filepath.Join(s.dir, name) }

func (s store) put(name string, data []byte) string {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s.path(name)
}

func (s store) putPair(name string, p pair) {
	s.put(name+".crt", p.cert)
	s.put(name+".key", p.key)
}

func (s store) server(name, ca string) ServerFiles {
	return ServerFiles{CertFile: s.path(name + ".crt"), KeyFile: s.path(name + ".key"), ClientCaFile: s.path(ca)}
}

func (s store) client(name, ca, serverName string) ClientFiles {
	return ClientFiles{ServerName: serverName, CaFile: s.path(ca), CertFile: s.path(name + ".crt"), KeyFile: s.path(name + ".key")}
}
