package records

import (
	"context"

	"clinsource/internal/auth"
	"clinsource/internal/subjects"
)

// SummaryOf answers a summary call: it decides who may, and counts. A patient
// without any record is looked up, so that one who is unknown or not to be seen
// is NotFound like everywhere else; one with records in the scope need not be,
// and the summary stands while the registry is away.
func (s *Store) SummaryOf(ctx context.Context, r subjects.Resolver, project, patient string) (Summary, error) {
	scope, err := subjects.InProject(ctx, auth.Read, s.kind, project)
	if err != nil {
		return Summary{}, err
	}
	sum, err := s.Summarize(ctx, scope, patient)
	if err != nil || patient == "" || sum.Records > 0 {
		return sum, err
	}
	_, _, err = subjects.Admit(ctx, r, auth.Read, s.kind, project, patient)
	return sum, err
}
