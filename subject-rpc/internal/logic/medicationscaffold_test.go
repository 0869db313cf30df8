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
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/sqldb/sqldbtest"
	"clinsource/internal/subjects"
	medicationpb "clinsource/proto/medication"
	recordpb "clinsource/proto/record"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/internal/svc"
)

// placed is a registry that a function answers for.
type placed func(patient string) (subjects.Place, error)

func (p placed) Resolve(_ context.Context, patient string) (subjects.Place, error) { return p(patient) }

// Who there is in the medication tests: two projects, the first with two sites
// and a subject who withdrew an hour ago.
var (
	withdrawn = time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	places    = map[string]subjects.Place{
		"p1":    {Project: "trial", Site: "s1"},
		"p2":    {Project: "trial", Site: "s2"},
		"gone":  {Project: "trial", Site: "s1", Withdrawn: withdrawn},
		"other": {Project: "elsewhere", Site: "s9"},
	}
)

// eachMedications runs f on an empty store of every engine.
func eachMedications(t *testing.T, f func(t *testing.T, s *svc.ServiceContext)) {
	sqldbtest.Each(t, func(t *testing.T, open func(fs.FS) *sqldb.DB) {
		s := svc.New(open(records.WithSchema(store.Migrations)))
		s.Subjects = placed(func(patient string) (subjects.Place, error) {
			place, ok := places[patient]
			if !ok {
				return place, subjects.Unseen()
			}
			return place, nil
		})
		f(t, s)
	})
}

var investigator = auth.Grant{Role: auth.Investigator, Project: "trial"}

// as is the context of a call by a user with these grants.
func as(t *testing.T, grants ...auth.Grant) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return auth.WithUser(ctx, &auth.User{Subject: "u1", Grants: grants})
}

// medication is a request that the rules take.
func medication(change ...func(*medicationpb.RecordMedicationRequest)) *medicationpb.RecordMedicationRequest {
	in := &medicationpb.RecordMedicationRequest{
		PatientId: "p1", ClientRecordId: "c1",
		Medication: &recordpb.Coding{System: "http://www.whocc.no/atc", Code: "N02BE01", Display: "Paracetamol"},
		Dose:       &medicationpb.Dose{Value: 0.5, UcumUnit: "g"},
		Route:      &recordpb.Coding{System: "https://standardterms.edqm.eu", Code: "20053000"},
		StartTime:  timestamppb.New(time.Now().Add(-2 * time.Hour).Truncate(time.Second)),
	}
	for _, f := range change {
		f(in)
	}
	return in
}

// record stores a medication as the investigator.
func record(t *testing.T, s *svc.ServiceContext, in *medicationpb.RecordMedicationRequest) *medicationpb.RecordMedicationResponse {
	t.Helper()
	resp, err := logic.NewRecordMedicationLogic(as(t, investigator), s).RecordMedication(in)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// list gives a page of medications as the investigator.
func list(t *testing.T, s *svc.ServiceContext, in *medicationpb.ListMedicationsRequest) *medicationpb.ListMedicationsResponse {
	t.Helper()
	resp, err := logic.NewListMedicationsLogic(as(t, investigator), s).ListMedications(in)
	if err != nil {
		t.Fatal(err)
	}
	return resp
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

// audited gives the audit rows of medications as "action project/site/patient
// records role actor".
func audited(t *testing.T, s *svc.ServiceContext) []string {
	t.Helper()
	rows, err := s.Medications.DB().Query(as(t), `SELECT action, project_id, site_id, patient_id, records, role, actor
 FROM audit_events WHERE kind = $1 ORDER BY seq`, string(auth.Medications))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var action, project, site, patient, role, actor string
		var n int64
		if err := rows.Scan(&action, &project, &site, &patient, &n, &role, &actor); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %s/%s/%s %d %s %s", action, project, site, patient, n, role, actor))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
