// Package svc holds what the gateway's handlers and logic work with: a client
// per downstream service, and nothing that is stored.
package svc

import (
	"fmt"

	"clinsource/dicom-rpc/dicomservice"
	"clinsource/epro-rpc/eproservice"
	"clinsource/internal/auditservice"
	"clinsource/internal/auth"
	"clinsource/internal/limits"
	"clinsource/internal/rpcclient"
	"clinsource/project-api/internal/config"
	"clinsource/subject-rpc/accessservice"
	"clinsource/subject-rpc/accountresolver"
	"clinsource/subject-rpc/medicationservice"
	"clinsource/subject-rpc/subjectservice"
	"clinsource/vitals-rpc/vitalsservice"
)

// ServiceContext is what every handler and logic gets.
type ServiceContext struct {
	Gate          *limits.Gate
	Accounts      auth.AccountSource
	Budgets       config.Budgets
	VitalsRpc     vitalsservice.VitalsService
	DicomRpc      dicomservice.DicomService
	EproRpc       eproservice.EproService
	SubjectRpc    subjectservice.SubjectService
	AccessRpc     accessservice.AccessService
	MedicationRpc medicationservice.MedicationService
	Audit         map[string]auditservice.AuditService // The log of each service.
	Refusals      auditservice.AuditIntake             // Where goes what the gateway itself refuses.
}

// NewServiceContext makes the clients; it waits for no server.
func NewServiceContext(c config.Config) (*ServiceContext, error) {
	verifier, err := auth.NewVerifier(c.Tokens)
	if err != nil {
		return nil, err
	}
	gate, err := limits.New(c.Limits, verifier)
	if err != nil {
		return nil, err
	}
	s := &ServiceContext{Gate: gate, Budgets: c.Budgets}
	if s.VitalsRpc, err = vitalsservice.New(c.VitalsRpc); err != nil {
		return nil, fmt.Errorf("VitalsRpc: %w", err)
	}
	if s.DicomRpc, err = dicomservice.New(c.DicomRpc); err != nil {
		return nil, fmt.Errorf("DicomRpc: %w", err)
	}
	if s.EproRpc, err = eproservice.New(c.EproRpc); err != nil {
		return nil, fmt.Errorf("EproRpc: %w", err)
	}
	if s.SubjectRpc, err = subjectservice.New(c.SubjectRpc); err != nil {
		return nil, fmt.Errorf("SubjectRpc: %w", err)
	}
	if s.AccessRpc, err = accessservice.New(c.SubjectRpc); err != nil {
		return nil, fmt.Errorf("SubjectRpc: %w", err)
	}
	if s.Accounts, err = accountresolver.New(c.SubjectRpc); err != nil {
		return nil, fmt.Errorf("SubjectRpc: %w", err)
	}
	if s.MedicationRpc, err = medicationservice.New(c.MedicationRpc); err != nil {
		return nil, fmt.Errorf("MedicationRpc: %w", err)
	}
	s.Audit = map[string]auditservice.AuditService{}
	for name, of := range map[string]rpcclient.Config{"vitals": c.VitalsRpc, "dicom": c.DicomRpc, "epro": c.EproRpc, "subject": c.SubjectRpc} {
		if s.Audit[name], err = auditservice.New(of); err != nil {
			return nil, fmt.Errorf("the audit log of %s: %w", name, err)
		}
	}
	if s.Refusals, err = auditservice.NewIntake(c.SubjectRpc); err != nil {
		return nil, fmt.Errorf("SubjectRpc: %w", err)
	}
	return s, nil
}
