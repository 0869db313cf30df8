package observe

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// scrape reads a process's /metrics.
func scrape(t testing.TB, port int) string {
	t.Helper()
	web := &http.Client{Timeout: 10 * time.Second}
	resp, err := web.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// metric gives the value of a series as it stands in the text.
func metric(t testing.TB, port int, series string) float64 {
	t.Helper()
	for line := range strings.Lines(scrape(t, port)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return number
		}
	}
	return 0
}

var (
	ourSeries = regexp.MustCompile(`(?m)^clinsource_[a-z_]+(\{[^}]*\})? `)
	label     = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
)

// TestMetricsAreBounded: no label of ours holds an id, and asking for what there
// is not makes no series.
func TestMetricsAreBounded(t *testing.T) {
	before := map[int]int{}
	for port := 9200; port <= 9204; port++ {
		before[port] = len(ourSeries.FindAllString(scrape(t, port), -1))
		if before[port] < 10 {
			t.Errorf("port %d has %d series of ours", port, before[port])
		}
	}
	a := newApp(t, "bounded")
	for i := range 20 {
		a.want(t, 404, "GET", fmt.Sprintf("/bounded-%d/x", i), nil)
	}
	allowed := map[string]bool{"route": true, "status": true, "method": true, "code": true, "downstream": true, "key": true, "db": true,
		"file": true, "store": true, "call": true, "le": true, "service": true, "version": true, "go_version": true, "limit": true, "result": true, "issuer": true}
	for port := 9200; port <= 9204; port++ {
		text := scrape(t, port)
		series := ourSeries.FindAllString(text, -1)
		if grown := len(series) - before[port]; grown > 40 { // A route's first 404 makes its own few.
			t.Errorf("port %d: %d new series", port, grown)
		}
		if strings.Contains(text, "bounded") || strings.Contains(strings.ToLower(text), "canary") {
			t.Errorf("port %d: an id or a path is in the metrics", port)
		}
		for _, s := range series {
			for _, l := range label.FindAllStringSubmatch(s, -1) {
				if !allowed[l[1]] {
					t.Errorf("port %d: the label %s of %s is not one that is known to be bounded", port, l[1], s)
				}
			}
		}
	}
}
