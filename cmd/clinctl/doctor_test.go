package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// level is what the doctor makes of one thing.
func level(t *testing.T, look func(*doctor)) string {
	t.Helper()
	d := &doctor{now: time.Now()}
	look(d)
	if len(d.findings) != 1 {
		t.Fatalf("findings %v", d.findings)
	}
	f := d.findings[0]
	if (f.Level == "ok") != (f.Do == "") {
		t.Errorf("%s with the way out %q", f.Level, f.Do)
	}
	return f.Level
}

func TestDoctorJudges(t *testing.T) {
	clock := func(apart time.Duration) func(*doctor) { return func(d *doctor) { d.judgeClock("clock", apart) } }
	room := func(free uint64) func(*doctor) { return func(d *doctor) { d.judgeRoom("disk", free<<20, 1000<<20) } }
	expiry := func(left time.Duration) func(*doctor) {
		return func(d *doctor) { d.expiry("certificate", "x", d.now.Add(left)) }
	}
	for _, c := range []struct {
		name, want string
		look       func(*doctor)
	}{
		{"clocks together", "ok", clock(-time.Second)},
		{"clock behind", "warn", clock(-5 * time.Second)},
		{"clock an hour ahead", "fail", clock(time.Hour)},
		{"room", "ok", room(500)},
		{"less room", "warn", room(99)},
		{"hardly any", "fail", room(29)},
		{"a month left", "ok", expiry(30 * 24 * time.Hour)},
		{"ten days left", "warn", expiry(10 * 24 * time.Hour)},
		{"two days left", "fail", expiry(2 * 24 * time.Hour)},
		{"expired", "fail", expiry(-time.Second)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := level(t, c.look); got != c.want {
				t.Errorf("it is %s, want %s", got, c.want)
			}
		})
	}
}

// TestDoctorFindsPostgres by the Url of a config, wherever one of its hosts is.
func TestDoctorFindsPostgres(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for url, want := range map[string]string{
		"postgres://role@127.0.0.1:1," + l.Addr().String() + "/db": "ok",
		"postgres://role@127.0.0.1:1/db":                           "fail",
		"postgres:///db?host=/run/postgresql":                      "warn",
	} {
		path := filepath.Join(t.TempDir(), "vitals-rpc.yaml")
		if err := os.WriteFile(path, []byte("Name: vitals-rpc\nPostgres:\n  Url: "+url+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := readConfig("vitals-rpc", path)
		if err != nil {
			t.Fatal(err)
		}
		if got := level(t, func(d *doctor) { d.storage(t.Context(), []configFile{c}) }); got != want {
			t.Errorf("%s: it is %s, want %s", url, got, want)
		}
	}
}

func TestParseMetrics(t *testing.T) {
	samples := parseMetrics("# HELP a b\na_b{x=\"1\",y=\"a\\\"}b\"} 2.5\nc 1e+06\nbroken\nd{} x\n")
	if len(samples) != 2 || samples[0].name != "a_b" || samples[0].labels["x"] != "1" || samples[0].value != 2.5 || samples[1].value != 1e6 {
		t.Errorf("%+v", samples)
	}
}

func TestLeft(t *testing.T) {
	now := time.Now()
	for want, at := range map[string]time.Time{"-": {}, "EXPIRED": now.Add(-time.Hour), "47h": now.Add(47*time.Hour + time.Minute), "3d": now.Add(3*24*time.Hour + time.Hour)} {
		if got := left(at, now); !strings.HasPrefix(got, want) {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
}
