package auditlog_test

import (
	"fmt"
	"testing"

	"clinsource/internal/auditlog"
)

// Shows R11.
func TestRefusalsAreCountedInBoundedMemory(t *testing.T) {
	var r auditlog.Refusals
	for i := range 100_000 {
		r.Add(auditlog.Refusal{Source: fmt.Sprint("10.0.", i%65536), Method: "GET /v1/projects", Reason: "TOKEN_INVALID"})
	}
	r.Add(auditlog.Refusal{Source: "10.0.0", Method: "GET /v1/projects", Reason: "TOKEN_INVALID", Count: 7})
	total, others := int64(0), int64(0)
	all := r.Take()
	for _, one := range all {
		total += one.Count
		if one.Source == auditlog.Others {
			others += one.Count
		}
	}
	if total != 100_007 || others < 90_000 || len(all) > 501 {
		t.Errorf("%d refusals in %d rows, %d of them together", total, len(all), others)
	}
	if again := r.Take(); len(again) != 0 {
		t.Errorf("taken twice: %v", again)
	}
}
