package faults

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"clinsource/internal/devcert"
)

// A disk that is full refuses what it cannot keep, keeps what it has taken, and
// goes on by itself when there is room again.
func TestDiskFull(t *testing.T) {
	s := prepare(t, "")
	folder := filepath.Join(s.data, "vitals-rpc")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, "size=16m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(folder, unix.MNT_DETACH) })
	s.start(t, "")
	w := newWorld(t, s, 1)
	w.patience = 50 * time.Millisecond
	l := startLoad(w, 4, func(l *load) { l.noViews = true })
	time.Sleep(time.Second)
	ballast := filepath.Join(folder, "ballast")
	fill(t, ballast)
	full := l.now()
	time.Sleep(4 * time.Second)
	freed := l.now()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	recovered := time.Now()
	for {
		r := w.send(http.MethodPost, w.path+"/subjects/"+w.patients[0]+"/vitals", object{"client_record_id": "after",
			"measurement_time": "2026-05-01T08:00:00Z", "heart_rate": object{"beats_per_minute": 70}})
		if r.ok() {
			break
		}
		if time.Since(recovered) > 10*time.Second {
			t.Fatalf("10 s after there is room again: %s", r.trouble)
		}
		time.Sleep(20 * time.Millisecond)
	}
	took := time.Since(recovered)
	time.Sleep(time.Second)
	l.end()
	r := l.between(full, freed, "write")
	t.Logf("ROW | disk full for 4 s: %d of %d writes refused; taken again %v after there was room", r.failed, r.n, took.Round(time.Millisecond))
	if r.failed == 0 {
		t.Error("no write was refused: this shows nothing")
	}
	l.mu.Lock()
	for _, sample := range l.samples {
		if !sample.ok && sample.trouble == "" {
			t.Error("a request failed without an answer")
		}
	}
	l.mu.Unlock()
	if after := l.between(freed+took, l.now()); after.failed > 0 {
		t.Errorf("%d requests fail though there is room: %v", after.failed, after.trouble)
	}
	w.patience = 10 * time.Second
	l.checkHistory(t)
}

// fill takes all the room that there is.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 512; size /= 2 {
		for {
			if _, err := f.Write(make([]byte, size)); err != nil {
				break
			}
		}
	}
}

// A certificate that has expired costs its service only, and the one that
// replaces it is taken without a restart of anybody.
func TestExpiredCertificate(t *testing.T) {
	s := startSuite(t, "")
	w := newWorld(t, s, 1)
	w.patience = 50 * time.Millisecond
	pid := s.pid(t, "vitals-rpc")
	certs := filepath.Join(s.dir, "certs", "dev")
	const life = 8 * time.Second
	expire(t, certs, "vitals-rpc", life)
	expires := time.Now().Add(life)
	time.Sleep(1500 * time.Millisecond) // Files are looked at every second, when somebody connects.
	s.links["vitals-rpc"].cut()
	s.links["vitals-rpc"].mend(t)
	eventually(t, life/2, func() error { return state(w, "vitals", "ok") })
	time.Sleep(time.Until(expires) + time.Second)
	s.links["vitals-rpc"].cut() // Open connections outlive their certificate.
	s.links["vitals-rpc"].mend(t)
	eventually(t, 10*time.Second, func() error { return state(w, "vitals", "unavailable", "timeout") })
	for _, other := range []string{"subjects", "reports", "images", "medications"} {
		if err := state(w, other, "ok"); err != nil {
			t.Error(err)
		}
	}
	renewed := time.Now()
	if _, err := devcert.Ensure(certs, time.Now()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, func() error { return state(w, "vitals", "ok") })
	t.Logf("ROW | certificate of vitals-rpc expired: its section alone fails; back %v after a new one is there", time.Since(renewed).Round(10*time.Millisecond))
	if s.pid(t, "vitals-rpc") != pid {
		t.Error("vitals-rpc was restarted")
	}
}

// state checks that a section of the project's view is in one of the states.
func state(w *world, section string, wanted ...string) error {
	r := w.send(http.MethodGet, w.path, nil)
	var view struct {
		Sections map[string]struct {
			State string `json:"state"`
		} `json:"sections"`
	}
	if err := json.Unmarshal(r.body, &view); err != nil {
		return fmt.Errorf("%w: %s", err, r.trouble)
	}
	got := view.Sections[section].State
	for _, state := range wanted {
		if got == state {
			return nil
		}
	}
	return fmt.Errorf("%s is %q, want %v", section, got, wanted)
}

func eventually(t *testing.T, d time.Duration, try func() error) {
	t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(50 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("still after %v: %v", d, err)
		}
	}
}

// expire replaces a process's certificate by one of the same CA that ends soon. One
// that has ended already would not be taken: the process keeps what it has.
func expire(t *testing.T, dir, name string, in time.Duration) {
	t.Helper()
	caCert, err := x509.ParseCertificate(readPEM(t, filepath.Join(dir, "ca.crt")))
	if err != nil {
		t.Fatal(err)
	}
	caKey := readKey(t, filepath.Join(dir, "ca.key"))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(in), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, caCert, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, name+".key"), "PRIVATE KEY", keyDER)
	writePEM(t, filepath.Join(dir, name+".crt"), "CERTIFICATE", der)
}

func readPEM(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("%s holds no PEM", path)
	}
	return block.Bytes
}

func readKey(t *testing.T, path string) any {
	t.Helper()
	der := readPEM(t, path)
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key
	}
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Without etcd everything starts and waits; when etcd comes, all find each other.
func TestEtcdAwayAtStart(t *testing.T) {
	s := prepare(t, "")
	s.links["etcd"].cut()
	ready := s.launch(t, "")
	time.Sleep(8 * time.Second)
	pids := map[string]int{}
	for _, name := range []string{"project-api", "vitals-rpc", "dicom-rpc", "epro-rpc", "subject-rpc"} {
		pids[name] = s.pid(t, name)
	}
	select {
	case err := <-ready:
		t.Fatalf("ready without etcd: %v", err)
	default:
	}
	came := time.Now()
	s.links["etcd"].mend(t)
	s.await(t, ready)
	t.Logf("ROW | etcd away at start for 8 s: all found each other %v after it came", time.Since(came).Round(10*time.Millisecond))
	for name, pid := range pids {
		if s.pid(t, name) != pid {
			t.Errorf("%s did not wait: it was restarted", name)
		}
	}
	newWorld(t, s, 1)
}
