package logic_test

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/sqldb/sqldbtest"
	"clinsource/internal/subjects"
	"clinsource/internal/wirejson"
	recordpb "clinsource/proto/record"
	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/logic"
	"clinsource/vitals-rpc/internal/store"
	"clinsource/vitals-rpc/internal/svc"
)

// resolver is a registry that a function answers for.
type resolver func(patient string) (subjects.Place, error)

func (r resolver) Resolve(_ context.Context, patient string) (subjects.Place, error) {
	return r(patient)
}

// Who there is in these tests: two projects, the first with two sites and a
// subject who withdrew an hour ago.
var (
	withdrawn = time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	places    = map[string]subjects.Place{
		"p1":    {Project: "trial", Site: "s1"},
		"p2":    {Project: "trial", Site: "s2"},
		"p3":    {Project: "trial", Site: "s1"},
		"gone":  {Project: "trial", Site: "s1", Withdrawn: withdrawn},
		"stale": {Project: "trial", Site: "s1", Stale: true},
		"other": {Project: "elsewhere", Site: "s9"},
	}
)

func registry(patient string) (subjects.Place, error) {
	place, ok := places[patient]
	if !ok {
		return place, subjects.Unseen()
	}
	return place, nil
}

// each runs f on an empty store of every engine.
func each(t *testing.T, f func(t *testing.T, s *svc.ServiceContext)) {
	sqldbtest.Each(t, func(t *testing.T, open func(fs.FS) *sqldb.DB) {
		f(t, svc.New(open(records.WithSchema(store.Migrations)), resolver(registry)))
	})
}

var investigator = auth.Grant{Role: auth.Investigator, Project: "trial"}

// as is the context of a call by a user with these grants.
func as(t *testing.T, grants ...auth.Grant) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return auth.WithUser(ctx, &auth.User{Subject: "u1", Grants: grants})
}

// measured is when the measurements of these tests were made, if nothing else
// is said: a time of whole seconds, so that its text is short.
var measured = time.Now().Add(-2 * time.Hour).Truncate(time.Second)

// request is an upload that the rules take without a finding.
func request(change ...func(*vitalspb.UploadVitalsRequest)) *vitalspb.UploadVitalsRequest {
	in := &vitalspb.UploadVitalsRequest{
		PatientId: "p1", ClientRecordId: "c1", MeasurementTime: timestamppb.New(measured),
		BloodPressure: &vitalspb.BloodPressure{Systolic: 118, Diastolic: 76},
	}
	for _, f := range change {
		f(in)
	}
	return in
}

// ofJSON is the upload that a gateway makes of a body.
func ofJSON(t *testing.T, body string) *vitalspb.UploadVitalsRequest {
	t.Helper()
	in := &vitalspb.UploadVitalsRequest{}
	if bad := wirejson.Decode([]byte(body), in); bad != nil {
		t.Fatal(bad)
	}
	return in
}

// weight is an upload of a body weight and nothing else.
func weight(id string, at time.Time, value float32, unit vitalspb.WeightUnit) *vitalspb.UploadVitalsRequest {
	return &vitalspb.UploadVitalsRequest{
		PatientId: "p1", ClientRecordId: id, MeasurementTime: timestamppb.New(at),
		BodyWeight: &vitalspb.BodyWeight{Value: value, Unit: unit},
	}
}

// try uploads as the investigator; in stays as it is.
func try(t *testing.T, s *svc.ServiceContext, in *vitalspb.UploadVitalsRequest) (*vitalspb.UploadVitalsResponse, error) {
	t.Helper()
	return logic.NewUploadVitalsLogic(as(t, investigator), s).UploadVitals(proto.CloneOf(in))
}

// upload stores vitals as the investigator.
func upload(t *testing.T, s *svc.ServiceContext, in *vitalspb.UploadVitalsRequest) *vitalspb.UploadVitalsResponse {
	t.Helper()
	resp, err := try(t, s, in)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// listed gives all records of a patient as the investigator.
func listed(t *testing.T, s *svc.ServiceContext, patient string) []*vitalspb.VitalsRecord {
	t.Helper()
	resp, err := logic.NewListVitalsLogic(as(t, investigator), s).ListVitals(&vitalspb.ListVitalsRequest{PatientId: patient})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetRecords()
}

// latest gives all newest values of the project as the investigator.
func latest(t *testing.T, s *svc.ServiceContext) []*vitalspb.LatestVital {
	t.Helper()
	resp, err := logic.NewGetLatestVitalsLogic(as(t, investigator), s).GetLatestVitals(&vitalspb.GetLatestVitalsRequest{ProjectId: "trial"})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetLatest()
}

// The two output fields in canonical units, named here and nowhere else.
const (
	celsiusField   = "canonical_celsius"
	kilogramsField = "canonical_kilograms"
)

// setField sets a text field of a message by its name.
func setField(t *testing.T, m proto.Message, name protoreflect.Name, text string) {
	t.Helper()
	fd := m.ProtoReflect().Descriptor().Fields().ByName(name)
	if fd == nil {
		t.Fatalf("%s has no field %s", m.ProtoReflect().Descriptor().FullName(), name)
	}
	m.ProtoReflect().Set(fd, protoreflect.ValueOfString(text))
}

// wantFault holds an error against a code and a reason.
func wantFault(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s %s", code, reason)
	}
	if f := fault.From(err); f.Code != code || f.Reason != reason {
		t.Errorf("got %v, want %s %s", f, code, reason)
	}
}

// fields writes the violations of an error as "field rule", sorted.
func fields(err error) string {
	if err == nil {
		return ""
	}
	var out []string
	for _, v := range fault.From(err).Violations {
		out = append(out, v.Field+" "+v.Rule)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// rules writes findings as "severity rule fields".
func rules(fs []*recordpb.Finding) (out []string) {
	for _, f := range fs {
		out = append(out, f.GetSeverity().String()+" "+f.GetRuleId()+" "+strings.Join(f.GetFields(), ","))
	}
	return out
}

// audited gives the audit rows as "action kind project/site/patient records role
// actor".
func audited(t *testing.T, s *svc.ServiceContext) []string {
	t.Helper()
	rows, err := s.Store.DB().Query(as(t), `SELECT action, kind, project_id, site_id, patient_id, records, role, actor FROM audit_events ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var action, kind, project, site, patient, role, actor string
		var n int64
		if err := rows.Scan(&action, &kind, &project, &site, &patient, &n, &role, &actor); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %s %s/%s/%s %d %s %s", action, kind, project, site, patient, n, role, actor))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
