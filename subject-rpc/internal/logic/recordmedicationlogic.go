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
	"clinsource/subject-rpc/internal/message"
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
	judged, check := judge(in)
	if err := check.Err(); err != nil {
		return nil, err
	}
	place, scope, err := subjects.Admit(l.ctx, l.svcCtx.Subjects, auth.Write, auth.Medications, in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, err
	}
	d, err := judged.draft(place, scope)
	if err != nil {
		return nil, err
	}
	stored, created, err := l.svcCtx.Medications.Put(l.ctx, d)
	if err != nil {
		return nil, err
	}
	return &medicationpb.RecordMedicationResponse{RecordId: stored.ID, Version: stored.Version, Findings: stored.Findings, Created: created}, nil
}

// judged is a request and what the rules say of it.
type judged struct {
	in      *medicationpb.RecordMedicationRequest
	verdict intake.Verdict
}

// judge holds a request, or what a correction makes of a record, against all
// rules that need nothing but itself.
func judge(in *medicationpb.RecordMedicationRequest) (judged, ident.Checker) {
	var check ident.Checker
	check.Required("patient_id", in.GetPatientId())
	check.Optional("project_id", in.GetProjectId())
	check.Optional("client_record_id", in.GetClientRecordId())
	check = append(check, sourcevalue.Complete(in)...) // Sets what is output only to what is true.
	verdict := intake.Judge(message.IntakeOf(in), time.Now())
	check = append(check, records.Violations(verdict.Findings, check)...)
	return judged{in, verdict}, check
}

// draft gives the record to be written, unless the subject withdrew, or their consent, before.
func (j judged) draft(place subjects.Place, scope auth.Scope) (records.Draft, error) {
	at := j.in.GetStartTime().AsTime()
	if err := place.Refuse(auth.Medications, at, "start_time"); err != nil {
		return records.Draft{}, err
	}
	return records.Draft{
		Record: records.Record{
			Project: place.Project, Site: place.Site, Patient: j.in.GetPatientId(), ClientRecordID: j.in.GetClientRecordId(),
			At: at, Content: wirejson.Encode(message.RecordOf(j.in)), Findings: records.FindingsOut(j.verdict.Findings),
		},
		Hash:       records.HashOf(wirejson.EncodeWithout(j.in, "client_record_id", "project_id")),
		Role:       scope.Role,
		Unverified: place.Stale,
		Tallies:    message.Tallies(j.in.GetEndTime()),
	}, nil
}
