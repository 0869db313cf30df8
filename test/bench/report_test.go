package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// contenderOf makes one whose laps have these rates.
func contenderOf(name string, rates ...int) *contender {
	c := &contender{name: name, callers: 1}
	for _, n := range rates {
		times := []time.Duration{time.Second / time.Duration(n)}
		c.laps = append(c.laps, lap{ops: n, took: time.Second, times: times, beats: []time.Duration{times[0] / 2},
			cpu: map[string]time.Duration{"bench": time.Second / 2, "etcd": time.Millisecond, idleKey: 3 * time.Second / 2}})
	}
	return c
}

func TestRatioIsOfMedians(t *testing.T) {
	r := rateOver(contenderOf("a", 50, 60, 10), contenderOf("b", 100, 100, 100))()
	if r.median != 0.5 || r.least != 0.1 || r.most != 0.6 {
		t.Errorf("got %+v", r)
	}
	if r := overItsBeat(contenderOf("a", 50, 60, 10))(); r.median < 1.99 || r.median > 2.01 {
		t.Errorf("twice what the operations told, and the ratio is %+v", r)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		goal goal
		got  float64
		want string
	}{
		{goal{want: 0.6}, 0.61, "pass"}, {goal{want: 0.6}, 0.59, "MISS"},
		{goal{want: 1.2, atMost: true}, 1.19, "pass"}, {goal{want: 1.2, atMost: true}, 1.21, "MISS"},
		{goal{}, 0.1, "no goal"},
	} {
		if got := c.goal.verdict(ratio{median: c.got}); got != c.want {
			t.Errorf("%v against %v: %s, want %s", c.got, c.goal, got, c.want)
		}
	}
}

func TestReportShowsRatesRatiosAndWhereTheTimeWent(t *testing.T) {
	a, b := contenderOf("service", 500, 500, 500), contenderOf("bare", 1000, 1000, 1000)
	g := &group{title: "Uploads", unit: "upload", contenders: []*contender{b, a}}
	g.goals = []goal{{what: "service / bare", want: 0.6, ratios: rateOver(a, b)}}
	var out bytes.Buffer
	if err := writeReport(&out, settings{rounds: 3, callers: 64}, []*group{g}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uploads", "CPU ms an upload", "service / bare", "0.50", "MISS", "1.000"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "etcd") {
		t.Errorf("etcd took nothing worth a column:\n%s", out.String())
	}
}

func TestSlowestSection(t *testing.T) {
	view := `{"sections":{"subjects":{"state":"ok","elapsed_ms":3},"vitals":{"state":"ok","elapsed_ms":12},` +
		`"images":{"state":"ok","elapsed_ms":4},"reports":{"state":"ok","elapsed_ms":0},"medications":{"state":"ok","elapsed_ms":5}}}`
	name, took, err := slowestOf([]byte(view))
	if err != nil || name != "vitals" || took != 12*time.Millisecond {
		t.Errorf("got %s, %v, %v", name, took, err)
	}
	for _, bad := range []string{"", `{"sections":{}}`, strings.Replace(view, "ok", "timeout", 1)} {
		if _, _, err := slowestOf([]byte(bad)); err == nil {
			t.Errorf("%.40q is no whole view, and was taken for one", bad)
		}
	}
}

func TestArguments(t *testing.T) {
	t.Chdir("../..")
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "suite"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := parse([]string{"-bin", bin}); err != nil || s.callers != 64 || s.rounds != 5 || s.image != 500_000_000 {
		t.Errorf("without arguments: %+v, %v", s, err)
	}
	for _, args := range [][]string{{"-rounds", "0"}, {"-lap", "-1s"}, {"-callers", "0"}, {"-image", "1"}, {"more"}} {
		if _, err := parse(append([]string{"-bin", bin}, args...)); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
	if _, err := parse([]string{"-bin", t.TempDir()}); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("without the suite's binary: %v", err)
	}
	t.Chdir(t.TempDir())
	if _, err := parse(nil); err == nil || !strings.Contains(err.Error(), "root") {
		t.Errorf("outside the repository: %v", err)
	}
}
