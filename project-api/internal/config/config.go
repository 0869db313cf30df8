// Package config is the shape of etc/project-api.yaml: go-zero's rest keys, a
// client per downstream service, and the table of budgets.
package config

import (
	"fmt"
	"time"

	"github.com/zeromicro/go-zero/rest"

	"clinsource/internal/auth"
	"clinsource/internal/limits"
	"clinsource/internal/rpcclient"
	"clinsource/internal/telemetry"
)

// Config of project-api.
type Config struct {
	rest.RestConf
	Tokens        auth.Config       // Whose tokens are taken.
	Limits        limits.Config     `json:",optional"` // What one caller may take; left out, the defaults.
	Policy        auth.PolicyConfig // Who may do what.
	VitalsRpc     rpcclient.Config
	DicomRpc      rpcclient.Config
	EproRpc       rpcclient.Config
	SubjectRpc    rpcclient.Config
	MedicationRpc rpcclient.Config
	Budgets       Budgets
	Traces        telemetry.Config `json:",optional"` // Where traces go; left out, nothing is traced.
}

// Budgets is how long the gateway waits for each downstream call. A caller's
// shorter deadline wins.
type Budgets struct {
	Subjects    time.Duration // Reading projects, sites and subjects.
	Vitals      time.Duration // Reading vital signs.
	Images      time.Duration // Reading the list of images.
	Reports     time.Duration // Reading patients' reports.
	Medications time.Duration // Reading medication.
	Write       time.Duration // Any write that is not a stream.
	Batch       time.Duration // A whole batch.
	Idle        time.Duration // A stream (up- or download) without a byte.
	Commit      time.Duration // From an image's last byte to its answer.
	Request     time.Duration // A whole request that is not a stream; more than any of the others.
}

// Validate refuses budgets that cannot hold. go-zero's loader calls it.
func (c Config) Validate() error { return c.Budgets.check() }

// Calls names the budgets of single calls, each less than Request.
func (b Budgets) Calls() map[string]time.Duration {
	return map[string]time.Duration{
		"Subjects": b.Subjects, "Vitals": b.Vitals, "Images": b.Images, "Reports": b.Reports,
		"Medications": b.Medications, "Write": b.Write, "Batch": b.Batch,
	}
}

func (b Budgets) check() error {
	for name, d := range b.Calls() {
		if d <= 0 {
			return fmt.Errorf("Budgets.%s must be positive: no call without a limit", name)
		}
		if d >= b.Request {
			return fmt.Errorf("Budgets.%s (%v) must be less than Budgets.Request (%v), or its end would never be told", name, d, b.Request)
		}
	}
	if b.Idle <= 0 || b.Commit <= 0 {
		return fmt.Errorf("Budgets.Idle and Budgets.Commit must be positive: no stream without a limit")
	}
	return nil
}
