package logic

import (
	"context"
	"time"

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
	var check ident.Checker
	check.Required("patient_id", in.GetPatientId())
	check.Optional("project_id", in.GetProjectId())
	check.Optional("client_record_id", in.GetClientRecordId())
	check.Required("questionnaire_id", in.GetQuestionnaireId())
	check.Required("questionnaire_version", in.GetQuestionnaireVersion())
	check = append(check, sourcevalue.Complete(in)...) // Sets what is output only to what is true.
	submitted := reportOf(in)
	verdict := report.Judge(submitted, time.Now())
	check = append(check, records.Violations(verdict.Findings, check)...)
	if err := check.Err(); err != nil {
		return nil, err
	}
	place, scope, err := subjects.Admit(l.ctx, l.svcCtx.Subjects, auth.Write, auth.Reports, in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, err
	}
	if err := place.RefuseAfter(submitted.AuthoredAt, "authored_time"); err != nil {
		return nil, err
	}
	stored, created, err := l.svcCtx.Store.Put(l.ctx, draft(in, place, scope, submitted.AuthoredAt, verdict))
	if err != nil {
		return nil, err
	}
	return &epropb.SubmitReportResponse{RecordId: stored.ID, Version: stored.Version, Findings: stored.Findings, Created: created}, nil
}

func draft(in *epropb.SubmitReportRequest, place subjects.Place, scope auth.Scope, at time.Time, verdict report.Verdict) records.Draft {
	return records.Draft{
		Record: records.Record{
			Project: place.Project, Site: place.Site, Patient: in.GetPatientId(), ClientRecordID: in.GetClientRecordId(),
			At: at, Content: wirejson.Encode(recordOf(in)), Findings: records.FindingsOut(verdict.Findings),
		},
		Hash:       records.HashOf(wirejson.EncodeWithout(in, "client_record_id", "project_id")),
		Role:       scope.Role,
		Unverified: place.Stale,
		Tallies:    map[string]int64{tallyPrefix + in.GetQuestionnaireId(): 1},
	}
}
