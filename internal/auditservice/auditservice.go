// Package auditservice is the client of audit.AuditService, which every service of
// the suite has, and of audit.AuditIntake: what the gateway imports. Every call
// needs a deadline.
package auditservice

import (
	"clinsource/internal/rpcclient"
	auditpb "clinsource/proto/audit"
)

// AuditService is the service as its callers see it.
type AuditService = auditpb.AuditServiceClient

// AuditIntake is where refusals go.
type AuditIntake = auditpb.AuditIntakeClient

// New makes a client of one service's log by that service's config.
func New(c rpcclient.Config) (AuditService, error) {
	conn, err := rpcclient.New(c, rpcclient.RetryPolicy(auditpb.AuditService_ServiceDesc.ServiceName))
	if err != nil {
		return nil, err
	}
	return auditpb.NewAuditServiceClient(conn.Conn()), nil
}

// NewIntake makes a client of the intake. It never retries: a repetition counts twice.
func NewIntake(c rpcclient.Config) (AuditIntake, error) {
	conn, err := rpcclient.New(c, "{}")
	if err != nil {
		return nil, err
	}
	return auditpb.NewAuditIntakeClient(conn.Conn()), nil
}
