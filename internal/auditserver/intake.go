package auditserver

import (
	"context"
	"fmt"

	"clinsource/internal/audit"
	"clinsource/internal/auditlog"
	"clinsource/internal/fault"
	"clinsource/internal/records"
	auditpb "clinsource/proto/audit"
)

// Bounds of what another process may record at once.
const (
	maxRefusals = 1000
	maxText     = 256
)

// Intake implements auditpb.AuditIntakeServer.
type Intake struct {
	log *audit.Log
	auditpb.UnimplementedAuditIntakeServer
}

var _ auditpb.AuditIntakeServer = (*Intake)(nil)

// NewIntake makes the intake of a service's log.
func NewIntake(log *audit.Log) *Intake { return &Intake{log: log} }

// RecordRefusals implements the RPC of this name.
func (s *Intake) RecordRefusals(ctx context.Context, in *auditpb.RecordRefusalsRequest) (*auditpb.RecordRefusalsResponse, error) {
	if n := len(in.GetRefusals()); n > maxRefusals {
		return nil, fault.InvalidFields([]fault.Violation{{Field: "refusals", Rule: "refusals.count", Message: fmt.Sprintf("must be at most %d", maxRefusals)}})
	}
	all := make([]auditlog.Refusal, 0, len(in.GetRefusals()))
	for i, r := range in.GetRefusals() {
		for _, text := range []string{r.GetSource(), r.GetActor(), r.GetMethod(), r.GetReason(), r.GetProjectId(), r.GetPatientId()} {
			if len(text) > maxText {
				return nil, fault.InvalidFields([]fault.Violation{{Field: fmt.Sprintf("refusals[%d]", i), Rule: "refusals.length", Message: fmt.Sprintf("no text of it may have more than %d bytes", maxText)}})
			}
		}
		all = append(all, auditlog.Refusal{Source: r.GetSource(), Actor: r.GetActor(), Method: r.GetMethod(), Reason: r.GetReason(),
			Project: r.GetProjectId(), Patient: r.GetPatientId(), Count: r.GetCount()})
	}
	if err := s.log.Record(ctx, all); err != nil {
		return nil, records.Fault(err)
	}
	return &auditpb.RecordRefusalsResponse{}, nil
}
