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
	dropDerived(in)
	var check ident.Checker
	check.Required("patient_id", in.GetPatientId())
	check.Optional("project_id", in.GetProjectId())
	check.Optional("client_record_id", in.GetClientRecordId())
	check = append(check, sourcevalue.Complete(in)...)
	upload := uploadOf(in)
	verdict := vitalsign.Judge(upload, time.Now())
	check = append(check, records.Violations(verdict.Findings, check)...)
	if err := check.Err(); err != nil {
		return nil, err
	}
	place, scope, err := subjects.Admit(l.ctx, l.svcCtx.Subjects, auth.Write, auth.Vitals, in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, err
	}
	if err := place.RefuseAfter(upload.MeasuredAt, "measurement_time"); err != nil {
		return nil, err
	}
	stored, created, err := l.svcCtx.Store.Put(l.ctx, l.draft(in, place, scope, upload, verdict))
	if err != nil {
		return nil, err
	}
	return answer(stored, created)
}

func (l *UploadVitalsLogic) draft(in *vitalspb.UploadVitalsRequest, place subjects.Place, scope auth.Scope, upload vitalsign.Upload, verdict vitalsign.Verdict) records.Draft {
	d := records.Draft{
		Record: records.Record{
			Project: place.Project, Site: place.Site, Patient: in.GetPatientId(), ClientRecordID: in.GetClientRecordId(),
			At: upload.MeasuredAt, Findings: records.FindingsOut(verdict.Findings),
		},
		Hash:       records.HashOf(wirejson.EncodeWithout(in, "client_record_id", "project_id")),
		Role:       scope.Role,
		Unverified: place.Stale,
	}
	d.Content = wirejson.EncodeWithout(recordOf(in, verdict), "project_id", "client_record_id")
	if verdict.BloodPressureCategory != "" {
		d.Tallies = map[string]int64{tallyPrefix + string(verdict.BloodPressureCategory): 1}
	}
	d.Prepare = func(ctx context.Context, tx *sqldb.Tx, r *records.Record) error {
		return judgeHistory(ctx, tx, r, upload)
	}
	d.Also = func(ctx context.Context, tx *sqldb.Tx, r *records.Record) error {
		return store.Remember(ctx, tx, r.Project, latestOf(r, verdict))
	}
	return d
}

// judgeHistory judges once more with the values known before, for the signs that
// are compared with them. It can only add questions: what the past makes
// suspicious is stored and asked about, never refused.
func judgeHistory(ctx context.Context, tx *sqldb.Tx, r *records.Record, upload vitalsign.Upload) error {
	previous := map[string]vitalsign.Previous{}
	for _, sign := range signsWithHistory {
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

// latestOf gives the record's signs as newest values.
func latestOf(r *records.Record, verdict vitalsign.Verdict) []store.Latest {
	var values []store.Latest
	for _, m := range verdict.Measurements {
		if n := len(values); n == 0 || values[n-1].Sign != m.Sign {
			values = append(values, store.Latest{Patient: r.Patient, Site: r.Site, Sign: m.Sign, MeasuredAt: r.At, Record: r.ID, Queried: r.Queried()})
		}
		v := &values[len(values)-1]
		if m.Sign == bloodPressure {
			v.Category = string(verdict.BloodPressureCategory)
		}
		v.Components = append(v.Components, store.Component{
			Field: m.Path, Canonical: m.Canonical, CanonicalUnit: m.CanonicalUnit, Entered: m.Entered, EnteredUnit: m.Unit,
		})
	}
	return values
}

// answer tells what became of the record. A resend is told what the first upload
// was told; only created differs.
func answer(r *records.Record, created bool) (*vitalspb.UploadVitalsResponse, error) {
	stored, err := recordOut(r)
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
