package devcert

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"clinsource/internal/mtls"
)

var day = 24 * time.Hour

func ensure(t *testing.T, dir string, now time.Time) bool {
	t.Helper()
	created, err := Ensure(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// snapshot gives the contents of every file.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

func TestLeavesVerifyAndSayWhoTheyAre(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	if !ensure(t, dir, now) {
		t.Fatal("nothing created in an empty folder")
	}
	caCert, err := readCert(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(caCert)
	for _, want := range []struct {
		name   string
		dns    []string
		ips    []string
		server bool
	}{
		{"vitals-rpc", []string{"vitals-rpc"}, nil, true},
		{"dicom-rpc", []string{"dicom-rpc"}, nil, true},
		{"epro-rpc", []string{"epro-rpc"}, nil, true},
		{"subject-rpc", []string{"subject-rpc"}, nil, true},
		{"project-api", []string{"project-api", "localhost"}, []string{"127.0.0.1", "::1"}, true},
		{"etcd", []string{"etcd", "etcd-1", "etcd-2", "etcd-3", "localhost"}, []string{"127.0.0.1", "::1"}, true},
		{"postgres", []string{"postgres", "localhost"}, []string{"127.0.0.1", "::1"}, true},
		{"suite", []string{"suite"}, nil, false},
		{"operator", []string{"operator"}, nil, false},
		{"partner", []string{"partner"}, nil, false},
	} {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, want.name+".crt"), filepath.Join(dir, want.name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		cert := pair.Leaf
		var ips []string
		for _, ip := range cert.IPAddresses {
			ips = append(ips, ip.String())
		}
		if !slices.Equal(cert.DNSNames, want.dns) || !slices.Equal(ips, want.ips) || cert.Subject.CommonName != want.name {
			t.Errorf("%s: DNS %v, IP %v, CN %s", want.name, cert.DNSNames, ips, cert.Subject.CommonName)
		}
		for usage, ok := range map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageClientAuth: true, x509.ExtKeyUsageServerAuth: want.server} {
			_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
			if (err == nil) != ok {
				t.Errorf("%s: usage %v: %v, want ok = %v", want.name, usage, err, ok)
			}
		}
	}
}

// The two lists of processes, the one that certificates are made for and the
// one that a peer list may name, must not drift apart.
func TestEveryPeerHasACertificate(t *testing.T) {
	var names []string
	for _, l := range leaves {
		if !slices.Contains([]string{"etcd", "postgres", "operator"}, l.name) { // these never call a service of ours
			names = append(names, l.name)
		}
	}
	if got := mtls.Processes(); !slices.Equal(names, got) {
		t.Errorf("certificates for %v, peer names %v", names, got)
	}
}

func TestLeavesAreAcceptedByMTLS(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, time.Now())
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, l := range leaves {
		if _, err := mtls.NewClient(mtls.ClientFiles{ServerName: "vitals-rpc", CaFile: file("ca.crt"), CertFile: file(l.name + ".crt"), KeyFile: file(l.name + ".key")}); err != nil {
			t.Errorf("client %s: %v", l.name, err)
		}
		_, err := mtls.NewServer(mtls.ServerFiles{CertFile: file(l.name + ".crt"), KeyFile: file(l.name + ".key"), ClientCaFile: file("ca.crt")})
		if (err == nil) != l.server {
			t.Errorf("server %s: %v", l.name, err)
		}
	}
}

func TestSecondCallWritesNothing(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ensure(t, dir, now)
	before := snapshot(t, dir)
	if ensure(t, dir, now.Add(leafLife-renewBefore-day)) {
		t.Error("created something though all was there and good for more than a week")
	}
	if !maps.Equal(before, snapshot(t, dir)) {
		t.Error("a file changed")
	}
}

func TestLeavesAreRenewedWithinAWeekOfExpiry(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ensure(t, dir, now)
	before := snapshot(t, dir)
	later := now.Add(leafLife - renewBefore + time.Hour)
	if !ensure(t, dir, later) {
		t.Fatal("leaves with less than a week to go were kept")
	}
	after := snapshot(t, dir)
	for name := range before {
		stays := name == "ca.crt" || name == "ca.key" || name == "issuer.key" || name == "issuer.jwks.json" || name == "audit.key" || name == "audit.pub" || name == ".lock"
		if (before[name] == after[name]) != stays {
			t.Errorf("%s: changed = %v", name, before[name] != after[name])
		}
	}
	if ensure(t, dir, later) {
		t.Error("renewed leaves were renewed again")
	}
}

func TestExpiringCARenewsEverything(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ensure(t, dir, now)
	before := snapshot(t, dir)
	later := now.Add(caLife - day)
	ensure(t, dir, later)
	after := snapshot(t, dir)
	for name := range before {
		if strings.HasSuffix(name, ".crt") && before[name] == after[name] {
			t.Errorf("%s was kept under a CA with a day to go", name)
		}
	}
	if ensure(t, dir, later) {
		t.Error("not stable afterwards")
	}
}

func TestOneDamagedFileIsMadeAnew(t *testing.T) {
	for _, damage := range []struct {
		name string
		do   func(path string) error
	}{
		{"vitals-rpc.crt", os.Remove},
		{"vitals-rpc.key", os.Remove},
		{"etcd.crt", func(p string) error { return os.WriteFile(p, []byte("half"), 0o600) }},
		{"partner.key", func(p string) error { return os.Chmod(p, 0o644) }},
		{"issuer.jwks.json", func(p string) error { return os.WriteFile(p, []byte("{}"), 0o600) }},
		{"issuer.key", os.Remove},
	} {
		dir, now := t.TempDir(), time.Now()
		ensure(t, dir, now)
		before := snapshot(t, dir)
		if err := damage.do(filepath.Join(dir, damage.name)); err != nil {
			t.Fatal(err)
		}
		if !ensure(t, dir, now) || ensure(t, dir, now) {
			t.Errorf("%s: not repaired in one go", damage.name)
		}
		after := snapshot(t, dir)
		stem, _, _ := strings.Cut(damage.name, ".")
		for name := range before {
			if !strings.HasPrefix(name, stem) && before[name] != after[name] {
				t.Errorf("%s damaged: %s changed too", damage.name, name)
			}
		}
	}
}

func TestAMissingCAKeyMattersOnlyWhenIssuing(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	ensure(t, dir, now)
	if err := os.Remove(filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if ensure(t, dir, now) {
		t.Error("something was made though nothing was due")
	}
	_, err := Ensure(dir, now.Add(leafLife))
	if err == nil || !strings.Contains(err.Error(), "ca.key is not there") || !strings.Contains(err.Error(), "vitals-rpc.crt") {
		t.Errorf("a leaf was due without the CA's key: %v", err)
	}
}

func TestForeignCAKeyIsRefused(t *testing.T) {
	dir, other, now := t.TempDir(), t.TempDir(), time.Now()
	ensure(t, dir, now)
	ensure(t, other, now)
	if err := os.Rename(filepath.Join(other, "ca.key"), filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := Ensure(dir, now); err == nil || !strings.Contains(err.Error(), "is not the key of") {
		t.Errorf("another CA's key: %v", err)
	}
}

func TestPermissions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs", "dev")
	ensure(t, dir, time.Now())
	for name := range snapshot(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		want := os.FileMode(0o644)
		if strings.HasSuffix(name, ".key") || name == ".lock" {
			want = 0o600
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", name, info.Mode().Perm(), want)
		}
	}
}

func TestManyAtOnceMakeOneSet(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	var wg sync.WaitGroup
	results := make([]bool, 8)
	for i := range results {
		wg.Go(func() {
			created, err := Ensure(dir, now)
			if err != nil {
				t.Error(err)
			}
			results[i] = created
		})
	}
	wg.Wait()
	made := 0
	for _, created := range results {
		if created {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d of %d calls made certificates, want 1", made, len(results))
	}
	if want := 2 + 2*len(leaves) + 2 + 2 + 1; len(snapshot(t, dir)) != want {
		t.Errorf("%d files, want %d: a temporary one is left or one is missing", len(snapshot(t, dir)), want)
	}
}

// A token signed with issuer.key verifies against issuer.jwks.json, by a
// library that shares no code with this package.
func TestIssuer(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, time.Now())
	data, err := os.ReadFile(filepath.Join(dir, "issuer.jwks.json"))
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(data, &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 1 {
		t.Fatalf("%d keys", len(set.Keys))
	}
	public := set.Keys[0]
	print, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if public.KeyID != base64.RawURLEncoding.EncodeToString(print) || public.Algorithm != "ES256" || public.Use != "sig" || !public.IsPublic() {
		t.Errorf("kid %s, alg %s, use %s, public %v", public.KeyID, public.Algorithm, public.Use, public.IsPublic())
	}
	key, err := readKey(filepath.Join(dir, "issuer.key"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte("claims"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed.Verify(public); err != nil {
		t.Error(err)
	}
}
