package logic_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	medicationpb "clinsource/proto/medication"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/svc"
)

// fill stores records of p1 (site s1), the first three begun at one time, and
// one of p2 (site s2). Two have an end, one has a unit to ask about.
func fill(t *testing.T, s *svc.ServiceContext) (newest time.Time) {
	t.Helper()
	newest = time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	equal := newest.Add(-time.Hour)
	put := func(patient, id, unit string, start time.Time, ended bool) {
		record(t, s, medication(func(in *medicationpb.RecordMedicationRequest) {
			in.PatientId, in.ClientRecordId, in.Dose.UcumUnit, in.StartTime = patient, id, unit, timestamppb.New(start)
			if ended {
				in.EndTime = timestamppb.New(newest)
			}
		}))
	}
	put("p1", "a", "mg", equal, false)
	put("p1", "b", "mcg", equal, false)
	put("p1", "c", "mg", equal, true)
	put("p1", "new", "mg", newest, false)
	put("p1", "old", "mg", equal.Add(-time.Hour), false)
	put("p2", "two", "mg", equal, true)
	return newest
}

func names(page []*medicationpb.Medication) []string {
	var out []string
	for _, m := range page {
		out = append(out, m.GetClientRecordId())
	}
	return out
}

// Pages of any size join to the same list, also over equal times.
func TestMedicationsKeepTheirOrderAcrossPages(t *testing.T) {
	eachMedications(t, func(t *testing.T, s *svc.ServiceContext) {
		fill(t, s)
		for _, c := range []struct {
			patient, project string
			n                int
		}{{"p1", "", 5}, {"p1", "trial", 5}, {"", "trial", 6}} {
			whole := list(t, s, &medicationpb.ListMedicationsRequest{PatientId: c.patient, ProjectId: c.project})
			got := names(whole.GetMedications())
			if len(got) != c.n || whole.GetNextPageToken() != "" || got[0] != "new" || got[c.n-1] != "old" {
				t.Fatalf("%v: whole list %v, next %q", c, got, whole.GetNextPageToken())
			}
			for size := int32(1); size <= 7; size++ {
				var joined []string
				in := &medicationpb.ListMedicationsRequest{PatientId: c.patient, ProjectId: c.project, PageSize: size}
				for more := true; more; more = in.PageToken != "" {
					page := list(t, s, in)
					joined = append(joined, names(page.GetMedications())...)
					in.PageToken = page.GetNextPageToken()
				}
				if !slices.Equal(joined, got) {
					t.Errorf("%v by %d: %v, want %v", c, size, joined, got)
				}
			}
		}
		token := list(t, s, &medicationpb.ListMedicationsRequest{ProjectId: "trial", PageSize: 1}).GetNextPageToken()
		_, err := logic.NewListMedicationsLogic(as(t, investigator), s).ListMedications(&medicationpb.ListMedicationsRequest{PatientId: "p1", PageToken: token})
		wantFault(t, err, codes.InvalidArgument, fault.ReasonPageTokenInvalid)
	})
}

func TestWhoMayReadMedications(t *testing.T) {
	eachMedications(t, func(t *testing.T, s *svc.ServiceContext) {
		fill(t, s)
		for name, c := range map[string]struct {
			grant auth.Grant
			n     int
		}{
			"monitor":     {auth.Grant{Role: auth.Monitor, Project: "trial"}, 6},
			"coordinator": {auth.Grant{Role: auth.Coordinator, Project: "trial", Sites: []string{"s2"}}, 1},
		} {
			resp, err := logic.NewListMedicationsLogic(as(t, c.grant), s).ListMedications(&medicationpb.ListMedicationsRequest{ProjectId: "trial"})
			if err != nil || len(resp.GetMedications()) != c.n {
				t.Errorf("%s: %d records, %v; want %d", name, len(resp.GetMedications()), err, c.n)
			}
			sum, err := logic.NewGetMedicationsSummaryLogic(as(t, c.grant), s).GetMedicationsSummary(&medicationpb.GetMedicationsSummaryRequest{ProjectId: "trial"})
			if err != nil || sum.GetCount() != int64(c.n) {
				t.Errorf("%s: %d counted, %v; want %d", name, sum.GetCount(), err, c.n)
			}
		}
		patient := auth.Grant{Role: auth.Patient, Project: "trial", Patient: "p1"}
		_, err := logic.NewListMedicationsLogic(as(t, patient), s).ListMedications(&medicationpb.ListMedicationsRequest{ProjectId: "trial"})
		wantFault(t, err, codes.PermissionDenied, fault.ReasonRoleForbids)
		_, err = logic.NewGetMedicationsSummaryLogic(as(t, patient), s).GetMedicationsSummary(&medicationpb.GetMedicationsSummaryRequest{ProjectId: "trial"})
		wantFault(t, err, codes.PermissionDenied, fault.ReasonRoleForbids)
		_, err = logic.NewListMedicationsLogic(as(t, investigator), s).ListMedications(&medicationpb.ListMedicationsRequest{ProjectId: "elsewhere"})
		wantFault(t, err, codes.PermissionDenied, fault.ReasonNoGrant)
		for _, id := range []string{"nobody", "other"} {
			_, err = logic.NewListMedicationsLogic(as(t, investigator), s).ListMedications(&medicationpb.ListMedicationsRequest{PatientId: id})
			wantFault(t, err, codes.NotFound, fault.ReasonSubjectNotFound)
		}
	})
}

func TestMedicationReadsCheckTheirFields(t *testing.T) {
	eachMedications(t, func(t *testing.T, s *svc.ServiceContext) {
		for _, c := range []struct {
			in   *medicationpb.ListMedicationsRequest
			want string
		}{
			{&medicationpb.ListMedicationsRequest{}, "patient_id identifier.required"},
			{&medicationpb.ListMedicationsRequest{PatientId: "/", ProjectId: "/"}, "patient_id identifier.malformed\nproject_id identifier.malformed"},
			{&medicationpb.ListMedicationsRequest{PatientId: "p1", PageSize: -1}, "page_size page.size"},
		} {
			_, err := logic.NewListMedicationsLogic(as(t, investigator), s).ListMedications(c.in)
			if got := fields(err); got != c.want {
				t.Errorf("%v: got %s, want %s", c.in, got, c.want)
			}
		}
		_, err := logic.NewGetMedicationsSummaryLogic(as(t, investigator), s).GetMedicationsSummary(&medicationpb.GetMedicationsSummaryRequest{PatientId: "/"})
		if got, want := fields(err), "patient_id identifier.malformed\nproject_id identifier.required"; got != want {
			t.Errorf("summary: got %s, want %s", got, want)
		}
	})
}

func TestMedicationsSummary(t *testing.T) {
	eachMedications(t, func(t *testing.T, s *svc.ServiceContext) {
		summary := func(patient string) *medicationpb.GetMedicationsSummaryResponse {
			resp, err := logic.NewGetMedicationsSummaryLogic(as(t, investigator), s).GetMedicationsSummary(
				&medicationpb.GetMedicationsSummaryRequest{ProjectId: "trial", PatientId: patient})
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		if empty := summary(""); empty.GetCount() != 0 || empty.GetOngoing() != 0 || empty.GetNewestTime() != nil {
			t.Errorf("of nothing: %v", empty)
		}
		newest := fill(t, s)
		all, one := summary(""), summary("p2")
		if all.GetCount() != 6 || all.GetSubjects() != 2 || all.GetQueried() != 1 || all.GetOngoing() != 4 || !all.GetNewestTime().AsTime().Equal(newest) {
			t.Errorf("of all: %v", all)
		}
		if one.GetCount() != 1 || one.GetSubjects() != 1 || one.GetQueried() != 0 || one.GetOngoing() != 0 {
			t.Errorf("of one: %v", one)
		}
	})
}

func TestMedicationReadsAreAudited(t *testing.T) {
	eachMedications(t, func(t *testing.T, s *svc.ServiceContext) {
		fill(t, s)
		ctx := as(t, auth.Grant{Role: auth.Monitor, Project: "trial"})
		for _, in := range []*medicationpb.ListMedicationsRequest{{PatientId: "p1", PageSize: 2}, {ProjectId: "trial"}} {
			if _, err := logic.NewListMedicationsLogic(ctx, s).ListMedications(in); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := logic.NewGetMedicationsSummaryLogic(ctx, s).GetMedicationsSummary(&medicationpb.GetMedicationsSummaryRequest{ProjectId: "trial", PatientId: "p1"}); err != nil {
			t.Fatal(err)
		}
		got := audited(t, s)
		want := []string{"list trial//p1 2 monitor u1", "list trial// 6 monitor u1", "summarize trial//p1 5 monitor u1"}
		if len(got) != 9 || !slices.Equal(got[6:], want) {
			t.Errorf("audit rows\n%s\nwant six creates and\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}
