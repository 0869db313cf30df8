package repo_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"clinsource/internal/corpus"
)

type alertRules struct {
	Groups []struct {
		Rules []struct {
			Alert, Expr string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

// Every alert leads to its paragraph in docs/operations.md, and has a case in
// which it fires and one in which it does not.
func TestAlertsAreExplainedAndTried(t *testing.T) {
	root := corpus.Root(t)
	read := func(path string) []byte {
		data, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var rules alertRules
	if err := yaml.Unmarshal(read("deploy/prometheus/alerts.yml"), &rules); err != nil {
		t.Fatal(err)
	}
	page, cases := string(read("docs/operations.md")), string(read("deploy/prometheus/alerts_test.yml"))
	alerts := map[string]bool{}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			alerts[r.Alert] = true
			if want := "docs/operations.md#" + strings.ToLower(r.Alert); r.Annotations["page"] != want || r.Annotations["summary"] == "" {
				t.Errorf("%s: annotations %v, want a summary and the page %s", r.Alert, r.Annotations, want)
			}
			if s := r.Labels["severity"]; s != "critical" && s != "warning" && s != "info" {
				t.Errorf("%s has the severity %q", r.Alert, s)
			}
			for _, kind := range []string{"fires", "is silent"} {
				if !strings.Contains(cases, `name: "`+r.Alert+" "+kind+`"`) {
					t.Errorf("alerts_test.yml has no case in which %s %s", r.Alert, kind)
				}
			}
		}
	}
	paragraphs := regexp.MustCompile(`(?m)^### (\w+)\n(.+)`).FindAllStringSubmatch(page, -1)
	for _, p := range paragraphs {
		if !alerts[p[1]] {
			t.Errorf("docs/operations.md explains %s, which is no alert", p[1])
		}
		delete(alerts, p[1])
	}
	for name := range alerts {
		t.Errorf("docs/operations.md does not explain %s", name)
	}
}

func TestAlertsDoWhatTheySay(t *testing.T) {
	corpus.Tool(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		c := exec.Command("promtool", args...)
		c.Dir = filepath.Join(corpus.Root(t), "deploy", "prometheus")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
