package mtls

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"
)

// Each mistake an operator can make with the files stops the start with the
// file's name and the reason.
func TestStartErrors(t *testing.T) {
	ca := newTestCA(t)
	for _, c := range []struct {
		name  string
		spoil func(s store)
		file  string   // the file to be named
		want  []string // what else to be said
	}{
		{"missing certificate", func(s store) { remove(s, "p.crt") }, "p.crt", []string{"CertFile", "no such file", "certs/README.md"}},
		{"missing key", func(s store) { remove(s, "p.key") }, "p.key", []string{"KeyFile", "no such file"}},
		{"missing CA", func(s store) { remove(s, "ca.crt") }, "ca.crt", []string{"CaFile", "no such file"}},
		{"not PEM", func(s store) { s.put("p.crt", []byte("hello")) }, "p.crt", []string{"failed to find any PEM data"}},
		{"key of another", func(s store) { s.put("p.key", ca.leaf("p").key) }, "p.key", []string{"private key does not match public key"}},
		{"CA without certificate", func(s store) { s.put("ca.crt", []byte("# nothing\n")) }, "ca.crt", []string{"no certificate in PEM form"}},
		{"key instead of CA", func(s store) { s.put("ca.crt", ca.leaf("p").key) }, "ca.crt", []string{"no certificate in PEM form"}},
		{"leaf instead of CA", func(s store) { s.put("ca.crt", ca.leaf("p").cert) }, "ca.crt", []string{"not a certificate authority"}},
		{"expired CA", func(s store) { s.put("ca.crt", newTestCA(t, expiredAnHourAgo).pem()) }, "ca.crt", []string{"authority expired at"}},
		{"expired leaf", func(s store) { s.putPair("p", ca.leaf("p", expiredAnHourAgo)) }, "p.crt", []string{"expired at", "issue a new one"}},
		{"leaf of tomorrow", func(s store) { s.putPair("p", ca.leaf("p", notYetValid)) }, "p.crt", []string{"not valid before", "clock"}},
		{"common name only", func(s store) { s.putPair("p", ca.leaf("p", withoutSAN)) }, "p.crt", []string{"no DNS name", "CN=p", "not enough", "subjectAltName"}},
		{"email certificate", func(s store) { s.putPair("p", ca.leaf("p", only(x509.ExtKeyUsageEmailProtection))) }, "p.crt", []string{"extended key usage lacks"}},
	} {
		s := newStore(t)
		s.put("ca.crt", ca.pem())
		s.putPair("p", ca.leaf("p"))
		c.spoil(s)
		_, serverErr := NewServer(s.server("p", "ca.crt"))
		_, clientErr := NewClient(s.client("p", "ca.crt", "p"))
		for side, err := range map[string]error{"server": serverErr, "client": clientErr} {
			if err == nil {
				t.Errorf("%s: %s accepted", c.name, side)
				continue
			}
			for _, part := range append(c.want, s.path(c.file)) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s: %s error lacks %q: %v", c.name, side, part, err)
				}
			}
		}
	}
}

func TestKeyUsageIsAskedPerSide(t *testing.T) {
	ca, s := newTestCA(t), newStore(t)
	s.put("ca.crt", ca.pem())
	s.putPair("c", ca.leaf("c", only(x509.ExtKeyUsageClientAuth)))
	s.putPair("s", ca.leaf("s", only(x509.ExtKeyUsageServerAuth)))
	s.putPair("any", ca.leaf("any", func(c *x509.Certificate) { c.ExtKeyUsage = nil }))
	for name, lacks := range map[string]string{"c": "serverAuth", "s": "clientAuth", "any": ""} {
		_, serverErr := NewServer(s.server(name, "ca.crt"))
		_, edgeErr := NewEdge(s.path(name+".crt"), s.path(name+".key"))
		_, clientErr := NewClient(s.client(name, "ca.crt", "s"))
		for want, errs := range map[string][]error{"serverAuth": {serverErr, edgeErr}, "clientAuth": {clientErr}} {
			for _, err := range errs {
				if refused := err != nil && strings.Contains(err.Error(), "lacks "+want); refused != (lacks == want) {
					t.Errorf("%s, %s: %v", name, want, err)
				}
			}
		}
	}
}

func TestEmptySettingsAreAllNamed(t *testing.T) {
	for _, c := range []struct {
		err  error
		keys []string
	}{
		{second(NewServer(ServerFiles{})), []string{"CertFile", "KeyFile", "ClientCaFile"}},
		{second(NewClient(ClientFiles{})), []string{"ServerName", "CaFile", "CertFile", "KeyFile"}},
		{second(NewEdge("", "")), []string{"CertFile", "KeyFile"}},
	} {
		if c.err == nil {
			t.Errorf("empty settings accepted (%v)", c.keys)
			continue
		}
		for _, key := range c.keys {
			if !strings.Contains(c.err.Error(), key+" is empty") {
				t.Errorf("%v does not name %s", c.err, key)
			}
		}
	}
}

// While a CA is replaced its bundle may hold one that has expired.
func TestBundleNeedsOneLivingCA(t *testing.T) {
	old, young := newTestCA(t, expiredAnHourAgo), newTestCA(t)
	pool, first, err := parseCA(slices.Concat(old.pem(), young.pem()), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := x509.NewCertPool()
	want.AddCert(old.cert)
	want.AddCert(young.cert)
	if !pool.Equal(want) || !first.Equal(old.cert.NotAfter) {
		t.Errorf("pool of both: %v, first expiry %v, want %v", pool.Equal(want), first, old.cert.NotAfter)
	}
}
