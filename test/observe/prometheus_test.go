package observe

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"clinsource/internal/corpus"
)

const prometheusURL = "http://127.0.0.1:9090"

// mayBeEmpty is what a suite that is well does not show, and why.
var mayBeEmpty = map[string]string{
	"clinsource_token_keys_fetches_total":           "the development issuer's keys are a file",
	"clinsource_token_keys_heard_timestamp_seconds": "the development issuer's keys are a file",
	"ALERTS":                             "no alert fires",
	"clinsource:gateway_errors:ratio5m":  "no request failed",
	"clinsource:rpc_errors:ratio5m":      "no call failed",
	"clinsource_tls_reload_errors_total": "no certificate was spoilt",
	`status=~"[45].."`:                   "no request failed in the last moments",
	`code!="OK"`:                         "no call failed in the last moments",
}

// othersMetrics are of parts that a build may not have.
var othersMetrics = []string{"clinsource_rpc_client_breaker_", "clinsource_rpc_client_ejections_", "clinsource_rpc_client_hedges_",
	"clinsource_dicom_upload" + "s_", "clinsource_dicom_upload_committed_", "clinsource_dicom_open_"}

// TestDashboardAndRulesOnARealPrometheus: every query of the dashboard parses and
// gives data, every rule is healthy, and every metric that they name is there.
func TestDashboardAndRulesOnARealPrometheus(t *testing.T) {
	corpus.Tool(t, "prometheus")
	startPrometheus(t)
	if out, code := clinctl(t, "demo"); code != 0 {
		t.Fatal(out)
	}
	a := newApp(t, "demo")
	names := map[string]bool{}
	sent := 0
	within(t, time.Minute, "traffic, and what the rules record of it", func() bool {
		a.want(t, 200, "GET", a.path, nil)
		a.want(t, 201, "POST", a.path+"/subjects/demo-001/vitals", vitals(fmt.Sprintf("observed-%d", sent)))
		sent++
		for _, name := range ask[[]string](t, "/api/v1/label/__name__/values", nil) {
			names[name] = true
		}
		return sent > 100 && names["clinsource:gateway_duration:p99_5m"] && names["clinsource:rpc_duration:p99_5m"]
	})
	queries := dashboardQueries(t)
	if len(queries) < 50 {
		t.Fatalf("the dashboard has %d queries", len(queries))
	}
	for _, q := range queries {
		t.Run(q, func(t *testing.T) {
			result := ask[struct{ Result []json.RawMessage }](t, "/api/v1/query", url.Values{"query": {strings.ReplaceAll(q, "$__rate_interval", "10s")}})
			if len(result.Result) == 0 && why(q) == "" {
				t.Error("it parses and gives no data")
			}
		})
	}
	rules := ask[struct {
		Groups []struct {
			Rules []struct{ Name, Query, Health, LastError string }
		}
	}](t, "/api/v1/rules", nil)
	n := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			n++
			queries = append(queries, r.Query)
			if r.Health != "ok" && r.Health != "unknown" { // Not evaluated yet.
				t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if n < 25 {
		t.Errorf("%d rules are loaded", n)
	}
	for _, q := range queries {
		for _, name := range regexp.MustCompile(`\bclinsource[_:][a-z0-9_:]+`).FindAllString(q, -1) {
			if !names[name] && !others(name) && mayBeEmpty[name] == "" {
				t.Errorf("no process has the metric %s, of %s", name, q)
			}
		}
	}
}

func others(text string) bool {
	return slices.ContainsFunc(othersMetrics, func(prefix string) bool { return strings.Contains(text, prefix) })
}

func why(query string) string {
	if others(query) {
		return "of a part that this build may not have"
	}
	for part, reason := range mayBeEmpty {
		if strings.Contains(query, part) {
			return reason
		}
	}
	return ""
}

// dashboardQueries gives each query of deploy/grafana/clinsource.json.
func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	data, err := os.ReadFile(root + "/deploy/grafana/clinsource.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range dashboard.Panels {
		if seen[p.ID] || p.Title == "" || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q: its id is taken, or it has no title or no query", p.ID, p.Title)
		}
		seen[p.ID] = true
		for _, target := range p.Targets {
			queries = append(queries, target.Expr)
		}
	}
	return queries
}

// startPrometheus scrapes the suite every second, with the shipped rules.
func startPrometheus(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [%s/deploy/prometheus/alerts.yml]\nscrape_configs:\n", root)
	for i, job := range []string{"project-api", "vitals-rpc", "dicom-rpc", "epro-rpc", "subject-rpc"} {
		config += fmt.Sprintf("  - {job_name: %s, static_configs: [{targets: ['127.0.0.1:%d']}]}\n", job, 9200+i)
	}
	if err := os.WriteFile(dir+"/prometheus.yml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("prometheus", "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/data", "--web.listen-address=127.0.0.1:9090")
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
		if text, _ := os.ReadFile(dir + "/log"); t.Failed() {
			t.Logf("%s", text)
		}
	})
	within(t, 30*time.Second, "Prometheus is ready", func() bool {
		resp, err := (&http.Client{Timeout: time.Second}).Get(prometheusURL + "/-/ready")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
}

// ask calls Prometheus' HTTP API.
func ask[T any](t *testing.T, path string, args url.Values) T {
	t.Helper()
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Get(prometheusURL + path + "?" + args.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Status, Error string
		Data          T
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Status != "success" {
		t.Fatalf("%s: %v %s", args.Get("query"), err, answer.Error)
	}
	return answer.Data
}
