package auth

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeromicro/go-zero/core/logx"
)

// PolicyConfig names the policy file of a process.
type PolicyConfig struct {
	File string
}

var (
	policyChanges = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "clinsource_policy_changes_total", Help: "Policy files put in force after the one at start.",
	})
	policyRefused = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "clinsource_policy_refused", Help: "1 while the policy file on disk has a mistake, and the policy before it stays in force.",
	})
)

func init() { prometheus.MustRegister(policyChanges, policyRefused) }

// Load reads and checks the file and puts it in force.
func (c PolicyConfig) Load() error {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return fmt.Errorf("Policy.File: %w", err)
	}
	p, err := ParsePolicy(c.File, text)
	if err != nil {
		return fmt.Errorf("Policy.File: %w", err)
	}
	p.Use()
	return nil
}

// lookEvery is how often the file is looked at. It counts when two looks in a row
// find the same, so that a file that is being written is not taken by half.
const lookEvery = time.Second

// Keep puts each new version of the file in force, until ctx ends. One with a
// mistake is refused, and the policy before it goes on deciding.
func (c PolicyConfig) Keep(ctx context.Context) {
	taken, _ := os.ReadFile(c.File)
	last := taken
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		text, err := os.ReadFile(c.File)
		if err != nil {
			text = nil // Gone: what is in force stays, and the change is refused once.
		}
		settled := bytes.Equal(text, last)
		last = text
		if settled && !bytes.Equal(text, taken) {
			taken = text
			c.take(text, err)
		}
	}
}

func (c PolicyConfig) take(text []byte, err error) {
	var p *Policy
	if err == nil {
		p, err = ParsePolicy(c.File, text)
	}
	if err != nil {
		policyRefused.Set(1)
		logx.Errorf("the policy is refused, the one before it stays in force: %v", err)
		return
	}
	p.Use()
	policyRefused.Set(0)
	policyChanges.Inc()
	logx.Infof("a changed policy is in force: %s", c.File)
}
