package scenario

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Audit cannot be switched off: a service whose config lacks its Audit block, or a
// part of it, or has a word in it that would turn something off, does not start;
// and what writes the audit asks neither the environment nor a command line.
// Shows R02.
func TestAuditCannotBeSwitchedOff(t *testing.T) {
	block := regexp.MustCompile(`(?m)^Audit:\n(?:  .*\n)+`)
	for _, program := range []string{"vitals-rpc", "dicom-rpc", "epro-rpc", "subject-rpc"} {
		whole := shipped(t, program)
		if out, ok := checkConfig(t, program, whole); !ok {
			t.Fatalf("%s as shipped: %s", program, out)
		}
		audit := block.FindString(whole)
		if audit == "" {
			t.Fatalf("etc/%s.yaml has no Audit block", program)
		}
		for what, changed := range map[string]string{
			"no block":        "",
			"no key":          regexp.MustCompile(`(?m)^  KeyFile: .*\n`).ReplaceAllString(audit, ""),
			"no folder":       regexp.MustCompile(`(?m)^  CheckpointDir: .*\n`).ReplaceAllString(audit, ""),
			"an empty folder": regexp.MustCompile(`(?m)^  CheckpointDir: .*\n`).ReplaceAllString(audit, "  CheckpointDir: ''\n"),
			"never":           regexp.MustCompile(`(?m)^  Every: .*\n`).ReplaceAllString(audit, "  Every: 0s\n"),
			"once a year":     regexp.MustCompile(`(?m)^  Every: .*\n`).ReplaceAllString(audit, "  Every: 8760h\n"),
			"Disabled":        audit + "  Disabled: true\n",
			"Enabled: false":  audit + "  Enabled: false\n",
			"Mode: off":       audit + "  Mode: off\n",
			"AuditReads":      audit + "AuditReads: false\n",
		} {
			if out, ok := checkConfig(t, program, strings.Replace(whole, audit, changed, 1)); ok {
				t.Errorf("%s starts with %s: %s", program, what, out)
			}
		}
	}
	asks := regexp.MustCompile(`os\.(Getenv|LookupEnv|Environ|Args)|"flag"`)
	for _, dir := range []string{"internal/audit", "internal/auditlog", "internal/auditserver", "internal/records", "internal/rpcserver", "internal/sqldb"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no sources (%v)", dir, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if found := asks.Find(text); found != nil && !strings.HasSuffix(file, "_test.go") {
				t.Errorf("%s asks %s", file, found)
			}
		}
	}
}
