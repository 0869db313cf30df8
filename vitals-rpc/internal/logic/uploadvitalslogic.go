// Package logic holds one file per RPC: check the request, decide who may, judge
// by the rules of vitalsign, call the store, answer.
package logic

import (
	"context"
	"time"

	"clinsource/internal/auth"
	"clinsource/internal/ident"
	"clinsource/internal/records"
	"clinsource/internal/sourcevalue"
	"clinsource/internal/sqldb"
	"clinsource/internal/subjects"
	"clinsource/internal/wirejson"
	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/message"
	"clinsource/vitals-rpc/internal/store"
	"clinsource/vitals-rpc/internal/svc"
	"clinsource/vitals-rpc/vitalsign"
)

// UploadVitalsLogic does one UploadVitals call.
type UploadVitalsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewUploadVitalsLogic makes the logic of one call.
func NewUploadVitalsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *UploadVitalsLogic {
	return &UploadVitalsLogic{ctx: ctx, svcCtx: svcCtx}
}

// UploadVitals judges the measurements and stores them once.
func (l *UploadVitalsLogic) UploadVitals(in *vitalspb.UploadVitalsRequest) (*vitalspb.UploadVitalsResponse, error) {
	judged, check := judge(in)
	if err := check.Err(); err != nil {
		return nil, err
	}
	place, scope, err := subjects.Admit(l.ctx, l.svcCtx.Subjects, auth.Write, auth.Vitals, in.GetProjectId(), in.GetPatientId())
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
	return answer(stored, created)
}

// judged is a request and what the rules say of it.
type judged struct {
	in      *vitalspb.UploadVitalsRequest
	upload  vitalsign.Upload
	verdict vitalsign.Verdict
}

// judge holds a request, or what a correction makes of a record, against all
// rules that need nothing but itself.
func judge(in *vitalspb.UploadVitalsRequest) (judged, ident.Checker) {
	message.DropDerived(in)
	var check ident.Checker
	check.Required("patient_id", in.GetPatientId())
	check.Optional("project_id", in.GetProjectId())
	check.Optional("client_record_id", in.GetClientRecordId())
	check = append(check, sourcevalue.Complete(in)...)
	upload := message.UploadOf(in)
	verdict := vitalsign.Judge(upload, time.Now())
	check = append(check, records.Violations(verdict.Findings, check)...)
	return judged{in, upload, verdict}, check
}

// draft gives the record to be written, unless the subject withdrew, or their consent, before.
func (j judged) draft(place subjects.Place, scope auth.Scope) (records.Draft, error) {
	if err := place.Refuse(auth.Vitals, j.upload.MeasuredAt, "measurement_time"); err != nil {
		return records.Draft{}, err
	}
	return records.Draft{
		Record: records.Record{
			Project: place.Project, Site: place.Site, Patient: j.in.GetPatientId(), ClientRecordID: j.in.GetClientRecordId(),
			At: j.upload.MeasuredAt, Findings: records.FindingsOut(j.verdict.Findings),
			Content: wirejson.EncodeWithout(message.RecordOf(j.in, j.verdict), "project_id", "client_record_id"),
		},
		Hash:       records.HashOf(wirejson.EncodeWithout(j.in, "client_record_id", "project_id")),
		Role:       scope.Role,
		Unverified: place.Stale,
		Tallies:    message.Tallies(string(j.verdict.BloodPressureCategory)),
		Prepare: func(ctx context.Context, tx *sqldb.Tx, r *records.Record) error {
			return judgeHistory(ctx, tx, r, j.upload)
		},
		Also: func(ctx context.Context, tx *sqldb.Tx, r *records.Record) error {
			return store.Remember(ctx, tx, r.Project, message.LatestOf(r, j.verdict))
		},
	}, nil
}

// judgeHistory judges once more with the values known before, for the signs that
// are compared with them. It can only add questions: what the past makes
// suspicious is stored and asked about, never refused.
func judgeHistory(ctx context.Context, tx *sqldb.Tx, r *records.Record, upload vitalsign.Upload) error {
	previous := map[string]vitalsign.Previous{}
	for _, sign := range message.SignsWithHistory {
		if !mentions(upload, sign) {
			continue
		}
		known, found, err := store.Previous(ctx, tx, r.Project, r.Patient, sign)
		if err != nil {
			return err
		}
		if !found || known.MeasuredAt.After(upload.MeasuredAt) {
			continue
		}
		for _, c := range known.Components {
			canonical, err := vitalsign.ParseDecimal(c.Canonical)
			if err != nil {
				return err
			}
			previous[c.Field] = vitalsign.Previous{Canonical: canonical, MeasuredAt: known.MeasuredAt}
		}
	}
	if len(previous) > 0 {
		upload.Previous = previous
		r.Findings = records.FindingsOut(vitalsign.Judge(upload, time.Now()).Findings)
	}
	return nil
}

func mentions(upload vitalsign.Upload, sign string) bool {
	for _, reading := range upload.Readings {
		if reading.Sign == sign {
			return true
		}
	}
	return false
}

// answer tells what became of the record. A resend is told what the first upload
// was told; only created differs.
func answer(r *records.Record, created bool) (*vitalspb.UploadVitalsResponse, error) {
	stored, err := message.RecordOut(r)
	if err != nil {
		return nil, err
	}
	message := "stored"
	for _, f := range r.Findings {
		message += "; " + f.GetMessage()
	}
	return &vitalspb.UploadVitalsResponse{
		Success: true, Message: message, RecordId: r.ID, Version: r.Version, Findings: r.Findings, Created: created,
		BloodPressureCategory: stored.GetBloodPressureCategory(),
	}, nil
}
