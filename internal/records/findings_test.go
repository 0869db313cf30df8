package records

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"clinsource/internal/fault"
	"clinsource/internal/judgement"
	recordpb "clinsource/proto/record"
)

func TestFindingsOut(t *testing.T) {
	got := FindingsOut([]judgement.Finding{
		{Rule: "a", RuleVersion: "1", Severity: judgement.Query, Fields: []string{"x", "y"}, Message: "m"},
		{Rule: "b", Severity: judgement.Note, Fields: []string{"z"}},
	})
	want := []*recordpb.Finding{
		{RuleId: "a", RuleVersion: "1", Severity: recordpb.Severity_QUERY, Fields: []string{"x", "y"}, Message: "m"},
		{RuleId: "b", Severity: recordpb.Severity_NOTE, Fields: []string{"z"}},
	}
	if !slices.EqualFunc(got, want, func(a, b *recordpb.Finding) bool { return proto.Equal(a, b) }) {
		t.Errorf("got %v, want %v", got, want)
	}
	if FindingsOut(nil) != nil {
		t.Error("no findings became some")
	}
}

// Only refusals are violations, one a field, and a field of which something is
// known already is not named twice.
func TestViolations(t *testing.T) {
	found := []judgement.Finding{
		{Rule: "n", Severity: judgement.Note, Fields: []string{"f"}},
		{Rule: "q", Severity: judgement.Query, Fields: []string{"f"}},
		{Rule: "r", Severity: judgement.Refuse, Fields: []string{"start_time", "dose.value"}, Message: "m"},
	}
	start, dose := fault.Violation{Field: "start_time", Rule: "r", Message: "m"}, fault.Violation{Field: "dose.value", Rule: "r", Message: "m"}
	for known, want := range map[string][]fault.Violation{
		"":                   {start, dose},
		"start":              {start, dose},
		"dose":               {start, dose},
		"dose.value":         {start},
		"dose.value_entered": {start},
		"dose.value.low":     {start},
		"dose.value_max":     {start, dose},
		"start_time_text":    {dose},
		"source_time_text":   {dose},
	} {
		if got := Violations(found, []fault.Violation{{Field: known}}); !slices.Equal(got, want) {
			t.Errorf("%q is known: %v, want %v", known, got, want)
		}
	}
}
