package logic

import (
	"context"
	"time"

	"clinsource/internal/auth"
	"clinsource/internal/ident"
	"clinsource/internal/records"
	"clinsource/internal/sourcevalue"
	"clinsource/internal/subjects"
	"clinsource/internal/wirejson"
	medicationpb "clinsource/proto/medication"
	"clinsource/subject-rpc/intake"
	"clinsource/subject-rpc/internal/svc"
)

// RecordMedicationLogic does one RecordMedication call.
type RecordMedicationLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewRecordMedicationLogic makes the logic of one call.
func NewRecordMedicationLogic(ctx context.Context, svcCtx *svc.ServiceContext) *RecordMedicationLogic {
	return &RecordMedicationLogic{ctx: ctx, svcCtx: svcCtx}
}

// RecordMedication judges the record and stores it once.
func (l *RecordMedicationLogic) RecordMedication(in *medicationpb.RecordMedicationRequest) (*medicationpb.RecordMedicationResponse, error) {
	var check ident.Checker
	check.Required("patient_id", in.GetPatientId())
	check.Optional("project_id", in.GetProjectId())
	check.Optional("client_record_id", in.GetClientRecordId())
	check = append(check, sourcevalue.Complete(in)...) // Sets what is output only to what is true.
	verdict := intake.Judge(intakeOf(in), time.Now())
	check = append(check, records.Violations(verdict.Findings, check)...)
	if err := check.Err(); err != nil {
		return nil, err
	}
	place, scope, err := subjects.Admit(l.ctx, l.svcCtx.Subjects, auth.Write, auth.Medications, in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, err
	}
	if err := place.RefuseAfter(in.GetStartTime().AsTime(), "start_time"); err != nil {
		return nil, err
	}
	stored, created, err := l.svcCtx.Medications.Put(l.ctx, medicationDraft(in, place, scope, verdict))
	if err != nil {
		return nil, err
	}
	return &medicationpb.RecordMedicationResponse{RecordId: stored.ID, Version: stored.Version, Findings: stored.Findings, Created: created}, nil
}

func medicationDraft(in *medicationpb.RecordMedicationRequest, place subjects.Place, scope auth.Scope, verdict intake.Verdict) records.Draft {
	d := records.Draft{
		Record: records.Record{
			Project: place.Project, Site: place.Site, Patient: in.GetPatientId(), ClientRecordID: in.GetClientRecordId(),
			At: in.GetStartTime().AsTime(), Content: wirejson.Encode(medicationOf(in)), Findings: records.FindingsOut(verdict.Findings),
		},
		Hash:       records.HashOf(wirejson.EncodeWithout(in, "client_record_id", "project_id")),
		Role:       scope.Role,
		Unverified: place.Stale,
	}
	if in.GetEndTime() == nil {
		d.Tallies = map[string]int64{tallyOngoing: 1}
	}
	return d
}
