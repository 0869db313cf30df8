// Package logic holds one file per RPC: check the request, decide who may, judge
// by the rules of report, call the store, answer.
package logic

import (
	"context"
	"time"

	"clinsource/epro-rpc/internal/message"
	"clinsource/epro-rpc/internal/svc"
	"clinsource/epro-rpc/report"
	"clinsource/internal/auth"
	"clinsource/internal/ident"
	"clinsource/internal/records"
	"clinsource/internal/sourcevalue"
	"clinsource/internal/subjects"
	"clinsource/internal/wirejson"
	epropb "clinsource/proto/epro"
)

// SubmitReportLogic does one SubmitReport call.
type SubmitReportLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewSubmitReportLogic makes the logic of one call.
func NewSubmitReportLogic(ctx context.Context, svcCtx *svc.ServiceContext) *SubmitReportLogic {
	return &SubmitReportLogic{ctx: ctx, svcCtx: svcCtx}
}

// SubmitReport judges the report and stores it once.
func (l *SubmitReportLogic) SubmitReport(in *epropb.SubmitReportRequest) (*epropb.SubmitReportResponse, error) {
	judged, check := judge(in)
	if err := check.Err(); err != nil {
		return nil, err
	}
	place, scope, err := subjects.Admit(l.ctx, l.svcCtx.Subjects, auth.Write, auth.Reports, in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, err
	}
	d, err := judged.draft(place, scope)
	if err != nil {
		return nil, err
	}
	stored, created, err := l.svcCtx.Store.Put(l.ctx, d)
	if err != nil {
		return nil, err
	}
	return &epropb.SubmitReportResponse{RecordId: stored.ID, Version: stored.Version, Findings: stored.Findings, Created: created}, nil
}

// judged is a request and what the rules say of it.
type judged struct {
	in      *epropb.SubmitReportRequest
	at      time.Time
	verdict report.Verdict
}

// judge holds a request, or what a correction makes of a report, against all
// rules that need nothing but itself.
func judge(in *epropb.SubmitReportRequest) (judged, ident.Checker) {
	var check ident.Checker
	check.Required("patient_id", in.GetPatientId())
	check.Optional("project_id", in.GetProjectId())
	check.Optional("client_record_id", in.GetClientRecordId())
	check.Required("questionnaire_id", in.GetQuestionnaireId())
	check.Required("questionnaire_version", in.GetQuestionnaireVersion())
	check = append(check, sourcevalue.Complete(in)...) // Sets what is output only to what is true.
	submitted := message.ReportOf(in)
	verdict := report.Judge(submitted, time.Now())
	check = append(check, records.Violations(verdict.Findings, check)...)
	return judged{in, submitted.AuthoredAt, verdict}, check
}

// draft gives the record to be written, unless the subject withdrew, or their consent, before.
func (j judged) draft(place subjects.Place, scope auth.Scope) (records.Draft, error) {
	if err := place.Refuse(auth.Reports, j.at, "authored_time"); err != nil {
		return records.Draft{}, err
	}
	return records.Draft{
		Record: records.Record{
			Project: place.Project, Site: place.Site, Patient: j.in.GetPatientId(), ClientRecordID: j.in.GetClientRecordId(),
			At: j.at, Content: wirejson.Encode(message.RecordOf(j.in)), Findings: records.FindingsOut(j.verdict.Findings),
		},
		Hash:       records.HashOf(wirejson.EncodeWithout(j.in, "client_record_id", "project_id")),
		Role:       scope.Role,
		Unverified: place.Stale,
		Tallies:    message.Tallies(j.in.GetQuestionnaireId()),
	}, nil
}
