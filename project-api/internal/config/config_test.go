package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"clinsource/internal/config"
	"clinsource/internal/corpus"
)

func shipped(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(corpus.Root(t), "etc", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func load(t *testing.T, text []byte) (Config, error) {
	t.Helper()
	var c Config
	err := config.LoadBytes("project-api.yaml", text, &c)
	return c, err
}

// Whoever is called has at least the time that the caller waits: otherwise the
// service would give up first, and the caller's budget would mean nothing.
func TestShippedBudgetsHold(t *testing.T) {
	c, err := load(t, shipped(t, "project-api.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Budgets.Reports != 2*time.Second {
		t.Errorf("reports are shipped with 2 s, not %v", c.Budgets.Reports)
	}
	b := c.Budgets
	longest := map[string]time.Duration{
		"vitals-rpc": max(b.Vitals, b.Write), "dicom-rpc": b.Images, "epro-rpc": max(b.Reports, b.Write),
		"subject-rpc": max(b.Subjects, b.Medications, b.Write),
	}
	for service, budget := range longest {
		var s struct {
			Timeout  int64 `yaml:"Timeout"`
			Subjects struct {
				Budget string `yaml:"Budget"`
			} `yaml:"Subjects"`
		}
		if err := yaml.Unmarshal(shipped(t, service+".yaml"), &s); err != nil {
			t.Fatal(err)
		}
		own := time.Duration(s.Timeout) * time.Millisecond
		if own < budget {
			t.Errorf("%s gives itself %v, the gateway waits %v", service, own, budget)
		}
		if s.Subjects.Budget == "" {
			continue
		}
		if ask, err := time.ParseDuration(s.Subjects.Budget); err != nil || ask >= budget {
			t.Errorf("%s asks the registry for up to %v (%v), as long as its own callers wait (%v)", service, ask, err, budget)
		}
	}
}

func TestBudgetsThatCannotHold(t *testing.T) {
	text := string(shipped(t, "project-api.yaml"))
	for _, change := range [][2]string{
		{"Reports: 2s", "Reports: 0s"}, {"Reports: 2s", "Reports: 15s"}, {"Write: 5s", "Write: 20s"},
		{"Batch: 12s", "Batch: 30s"}, {"Idle: 30s", "Idle: 0s"}, {"Commit: 60s", "Commit: 0s"}, {"Request: 15s", "Request: 1s"},
	} {
		broken := strings.Replace(text, change[0], change[1], 1)
		if broken == text {
			t.Fatalf("the shipped file has no %q", change[0])
		}
		if _, err := load(t, []byte(broken)); err == nil || !strings.Contains(err.Error(), "Budgets") {
			t.Errorf("%s: %v", change[1], err)
		}
	}
}
