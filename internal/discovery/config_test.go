package discovery

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"
)

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

func wantUnavailable(t *testing.T, err error, text string) {
	t.Helper()
	if status.Code(err) != codes.Unavailable || !contains(err, text) {
		t.Errorf("error %v, want Unavailable with %q", err, text)
	}
}

func TestConfigValidate(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"good":            {Config{[]string{"127.0.0.1:2379", "[::1]:2379", "etcd-2:2379"}, "vitals.rpc"}, ""},
		"no hosts":        {Config{nil, "vitals.rpc"}, "Etcd.Hosts is empty"},
		"plaintext URL":   {Config{[]string{"http://etcd:2379"}, "vitals.rpc"}, "without a scheme"},
		"TLS URL":         {Config{[]string{"https://etcd:2379"}, "vitals.rpc"}, "without a scheme"},
		"socket":          {Config{[]string{"unix:///run/etcd.sock:1"}, "vitals.rpc"}, "without a scheme"},
		"no port":         {Config{[]string{"127.0.0.1:2379", "etcd"}, "vitals.rpc"}, `"etcd" is not host:port`},
		"no host":         {Config{[]string{":2379"}, "vitals.rpc"}, "not host:port"},
		"no key":          {Config{[]string{"127.0.0.1:2379"}, ""}, "Etcd.Key is empty"},
		"key with prefix": {Config{[]string{"127.0.0.1:2379"}, "vitals/rpc"}, "must not hold a slash"},
	} {
		err := c.config.Validate()
		if c.want == "" && err != nil || c.want != "" && !contains(err, c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestNewClientRefuses(t *testing.T) {
	if _, err := NewClient([]string{"127.0.0.1:2379"}, nil); !contains(err, "TLS") {
		t.Errorf("without TLS: %v", err)
	}
	if _, err := NewClient([]string{"http://127.0.0.1:2379"}, &tls.Config{}); !contains(err, "without a scheme") {
		t.Errorf("with a URL that drops TLS: %v", err)
	}
}

// Everything on a closed client ends at once instead of hanging or leaking.
func TestClosedClient(t *testing.T) {
	c, err := NewClient([]string{"127.0.0.1:1"}, &tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Register(key, "127.0.0.1:1").Close(t.Context()); err != nil {
		t.Error(err)
	}
	target := resolver.Target{URL: url.URL{Scheme: Scheme, Path: "/" + key}}
	if _, err := (builder{c}).Build(target, nil, resolver.BuildOptions{}); !contains(err, "closed") {
		t.Errorf("Build: %v", err)
	}
}

func TestBuildRefusesTargets(t *testing.T) {
	for _, target := range []string{"clinsource:///", "clinsource:///a/b", "clinsource://vitals.rpc", "clinsource://host/vitals.rpc"} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (builder{}).Build(resolver.Target{URL: *u}, nil, resolver.BuildOptions{}); !contains(err, "want clinsource:///<key>") {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestRegisterAddress(t *testing.T) {
	own := func() (string, error) { return "10.0.0.7", nil }
	none := func() (string, error) { return "", errors.New("no interface") }
	for _, c := range []struct {
		listenOn, podIP string
		own             func() (string, error)
		want, err       string
	}{
		{"127.0.0.1:9101", "10.1.1.1", own, "127.0.0.1:9101", ""},
		{"[::1]:9101", "10.1.1.1", own, "[::1]:9101", ""},
		{"vitals-rpc:9101", "10.1.1.1", own, "vitals-rpc:9101", ""},
		{"0.0.0.0:9101", "10.1.1.1", own, "10.1.1.1:9101", ""},
		{":9101", "10.1.1.1", own, "10.1.1.1:9101", ""},
		{"[::]:9101", "fd00::1", own, "[fd00::1]:9101", ""},
		{"0.0.0.0:9101", "", own, "10.0.0.7:9101", ""},
		{"[::]:9101", "", own, "10.0.0.7:9101", ""},
		{"0.0.0.0:9101", "", none, "", "set the environment's POD_IP"},
		{"0.0.0.0:9101", "localhost", own, "", "POD_IP"},
		{"0.0.0.0:9101", "0.0.0.0", own, "", "POD_IP"},
		{"9101", "", own, "", "not host:port"},
		{"127.0.0.1:0", "", own, "", "port"},
		{"127.0.0.1:http", "", own, "", "port"},
		{"127.0.0.1:70000", "", own, "", "port"},
	} {
		got, err := registerAddress(c.listenOn, c.podIP, c.own)
		if got != c.want || (c.err == "") != (err == nil) || c.err != "" && !contains(err, c.err) {
			t.Errorf("%q with POD_IP=%q: %q, %v; want %q, %q", c.listenOn, c.podIP, got, err, c.want, c.err)
		}
	}
}

func TestRegisterAddressFromEnvironment(t *testing.T) {
	t.Setenv("POD_IP", "192.0.2.5")
	if got, err := RegisterAddress("0.0.0.0:9101"); err != nil || got != "192.0.2.5:9101" {
		t.Errorf("RegisterAddress = %q, %v", got, err)
	}
}

// A host without a network has no such address; where there is one it must be
// fit for others to dial.
func TestFirstIPv4(t *testing.T) {
	got, err := firstIPv4()
	if ip := net.ParseIP(got); err == nil && (ip == nil || ip.To4() == nil || ip.IsLoopback()) {
		t.Errorf("firstIPv4 = %q", got)
	}
}

func TestPace(t *testing.T) {
	p := pace{retryMin: 100 * time.Millisecond, retryMax: time.Second}
	for failures, want := range map[int]time.Duration{1: 100, 2: 200, 3: 400, 4: 800, 5: 1000, 1 << 30: 1000} {
		if got := p.retry(failures); got != want*time.Millisecond {
			t.Errorf("retry(%d) = %v", failures, got)
		}
	}
	low, high := time.Hour, time.Duration(0)
	for range 1000 {
		d := jitter(time.Second)
		low, high = min(low, d), max(high, d)
	}
	if low < 750*time.Millisecond || high > 1250*time.Millisecond || high-low < 300*time.Millisecond {
		t.Errorf("jitter of 1 s ranges from %v to %v", low, high)
	}
	if beat := productionPace.beat(); 2*jitterMost(beat) > productionPace.lease {
		t.Errorf("one lost sign of life in %v ends the lease of %v", beat, productionPace.lease)
	}
}

func jitterMost(d time.Duration) time.Duration { return d * 5 / 4 }
