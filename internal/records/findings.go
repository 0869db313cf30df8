package records

import (
	"slices"
	"strings"

	"clinsource/internal/fault"
	"clinsource/internal/judgement"
	recordpb "clinsource/proto/record"
)

var severities = map[judgement.Severity]recordpb.Severity{
	judgement.Note: recordpb.Severity_NOTE, judgement.Query: recordpb.Severity_QUERY,
}

// FindingsOut gives the findings about a record that is stored in the contract's
// terms.
func FindingsOut(in []judgement.Finding) []*recordpb.Finding {
	var out []*recordpb.Finding
	for _, f := range in {
		out = append(out, &recordpb.Finding{
			RuleId: f.Rule, RuleVersion: f.RuleVersion, Severity: severities[f.Severity], Fields: f.Fields, Message: f.Message,
		})
	}
	return out
}

// Violations gives the refusals among the findings as violations, one a field,
// without those of a field that is known to be wrong already.
func Violations(in []judgement.Finding, known []fault.Violation) []fault.Violation {
	var out []fault.Violation
	for _, f := range in {
		if f.Severity != judgement.Refuse {
			continue
		}
		for _, field := range f.Fields {
			if !slices.ContainsFunc(known, func(v fault.Violation) bool { return covers(v.Field, field) }) {
				out = append(out, fault.Violation{Field: field, Rule: f.Rule, Message: f.Message})
			}
		}
	}
	return out
}

// covers says whether what is known of one field says all about another: it is
// the same one, lies inside it, or is the source's text of it. A message with a
// source_time_text has one time to which that can belong.
func covers(known, field string) bool {
	return known == field || known == field+"_entered" || known == field+"_text" || strings.HasPrefix(known, field+".") ||
		known == "source_time_text" && strings.HasSuffix(field, "_time")
}
