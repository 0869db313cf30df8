package logic

import (
	"context"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/subjects"
	medicationpb "clinsource/proto/medication"
	"clinsource/subject-rpc/internal/message"
	"clinsource/subject-rpc/internal/svc"
)

// ListMedicationsLogic does one ListMedications call.
type ListMedicationsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListMedicationsLogic makes the logic of one call.
func NewListMedicationsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListMedicationsLogic {
	return &ListMedicationsLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListMedications lists one patient's records, or a project's, newest start
// first.
func (l *ListMedicationsLogic) ListMedications(in *medicationpb.ListMedicationsRequest) (*medicationpb.ListMedicationsResponse, error) {
	var check ident.Checker
	check.Optional("patient_id", in.GetPatientId())
	check.Optional("project_id", in.GetProjectId())
	if in.GetPatientId() == "" && in.GetProjectId() == "" {
		check = append(check, fault.Violation{Field: "patient_id", Rule: ident.RuleRequired, Message: "is required unless project_id is given"})
	}
	if err := check.Err(); err != nil {
		return nil, err
	}
	p, err := page.Parse(in.GetPageSize(), in.GetPageToken(), "medications", in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, err
	}
	scope, err := l.admit(in)
	if err != nil {
		return nil, err
	}
	list, next, err := l.svcCtx.Medications.List(l.ctx, scope, records.Wanted{Patient: in.GetPatientId(), Voided: in.GetIncludeVoided()}, p)
	if err != nil {
		return nil, err
	}
	out, err := records.Each(list, message.RecordOut)
	if err != nil {
		return nil, err
	}
	return &medicationpb.ListMedicationsResponse{Medications: out, NextPageToken: next}, nil
}

// admit decides whether the caller may read the patient's records, or without
// one the project's.
func (l *ListMedicationsLogic) admit(in *medicationpb.ListMedicationsRequest) (auth.Scope, error) {
	if in.GetPatientId() == "" {
		return subjects.InProject(l.ctx, auth.Read, auth.Medications, in.GetProjectId())
	}
	_, scope, err := subjects.Admit(l.ctx, l.svcCtx.Subjects, auth.Read, auth.Medications, in.GetProjectId(), in.GetPatientId())
	return scope, err
}
