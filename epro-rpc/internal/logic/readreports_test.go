package logic_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/epro-rpc/internal/logic"
	"clinsource/epro-rpc/internal/svc"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	epropb "clinsource/proto/epro"
)

// fill stores reports of p1 (site s1), the first three at one time, and one of
// p2 (site s2).
func fill(t *testing.T, s *svc.ServiceContext) (equal, newest time.Time) {
	t.Helper()
	newest = time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	equal = newest.Add(-time.Hour)
	put := func(patient, id, questionnaire string, at time.Time) {
		submit(t, s, request(func(in *epropb.SubmitReportRequest) {
			in.PatientId, in.ClientRecordId, in.QuestionnaireId, in.AuthoredTime = patient, id, questionnaire, timestamppb.New(at)
		}))
	}
	put("p1", "a", "phq-9", equal)
	put("p1", "b", "phq-9", equal)
	put("p1", "c", "gad-7", equal)
	put("p1", "new", "phq-9", newest)
	put("p1", "old", "phq-9", equal.Add(-time.Hour))
	put("p2", "two", "gad-7", equal)
	return equal, newest
}

func ids(reports []*epropb.Report) []string {
	var out []string
	for _, r := range reports {
		out = append(out, r.GetClientRecordId())
	}
	return out
}

// Pages of any size join to the same list, also over equal times.
func TestListsKeepTheirOrderAcrossPages(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		fill(t, s)
		ofPatient := func(size int32, token string) ([]*epropb.Report, string) {
			resp, err := logic.NewGetPatientReportsLogic(as(t, investigator), s).GetPatientReports(
				&epropb.GetPatientReportsRequest{PatientId: "p1", PageSize: size, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			return resp.GetReports(), resp.GetNextPageToken()
		}
		ofProject := func(size int32, token string) ([]*epropb.Report, string) {
			resp, err := logic.NewListReportsLogic(as(t, investigator), s).ListReports(
				&epropb.ListReportsRequest{ProjectId: "trial", PageSize: size, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			return resp.GetReports(), resp.GetNextPageToken()
		}
		for name, c := range map[string]struct {
			list func(size int32, token string) ([]*epropb.Report, string)
			n    int
		}{"patient": {ofPatient, 5}, "project": {ofProject, 6}} {
			whole, next := c.list(0, "")
			if len(whole) != c.n || next != "" || whole[0].GetClientRecordId() != "new" || whole[c.n-1].GetClientRecordId() != "old" {
				t.Fatalf("%s: whole list %v, next %q", name, ids(whole), next)
			}
			for size := int32(1); size <= 7; size++ {
				var joined []*epropb.Report
				for token := ""; ; {
					page, next := c.list(size, token)
					joined = append(joined, page...)
					if next == "" {
						break
					}
					token = next
				}
				if !slices.Equal(ids(joined), ids(whole)) {
					t.Errorf("%s by %d: %v, want %v", name, size, ids(joined), ids(whole))
				}
			}
		}
	})
}

func TestPageTokensBelongToTheirList(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		fill(t, s)
		resp, err := logic.NewListReportsLogic(as(t, investigator), s).ListReports(&epropb.ListReportsRequest{ProjectId: "trial", PageSize: 1})
		if err != nil {
			t.Fatal(err)
		}
		_, err = logic.NewGetPatientReportsLogic(as(t, investigator), s).GetPatientReports(
			&epropb.GetPatientReportsRequest{PatientId: "p1", PageToken: resp.GetNextPageToken()})
		wantFault(t, err, codes.InvalidArgument, fault.ReasonPageTokenInvalid)
		_, err = logic.NewListReportsLogic(as(t, investigator), s).ListReports(&epropb.ListReportsRequest{ProjectId: "trial", PageSize: -1})
		if wantFault(t, err, codes.InvalidArgument, fault.ReasonFieldInvalid); fields(err) != "page_size page.size" {
			t.Errorf("got %s", fields(err))
		}
	})
}

func TestWhoMayRead(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		fill(t, s)
		for name, c := range map[string]struct {
			grant auth.Grant
			n     int
		}{
			"monitor":     {auth.Grant{Role: auth.Monitor, Project: "trial"}, 6},
			"coordinator": {auth.Grant{Role: auth.Coordinator, Project: "trial", Sites: []string{"s2"}}, 1},
			"patient":     {auth.Grant{Role: auth.Patient, Project: "trial", Patient: "p1"}, 5},
		} {
			resp, err := logic.NewListReportsLogic(as(t, c.grant), s).ListReports(&epropb.ListReportsRequest{ProjectId: "trial"})
			if err != nil || len(resp.GetReports()) != c.n {
				t.Errorf("%s: %d reports, %v; want %d", name, len(resp.GetReports()), err, c.n)
			}
			sum, err := logic.NewGetReportsSummaryLogic(as(t, c.grant), s).GetReportsSummary(&epropb.GetReportsSummaryRequest{ProjectId: "trial"})
			if err != nil || sum.GetCount() != int64(c.n) {
				t.Errorf("%s: %d counted, %v; want %d", name, sum.GetCount(), err, c.n)
			}
		}
		device := auth.Grant{Role: auth.Device, Project: "trial"}
		_, err := logic.NewListReportsLogic(as(t, device), s).ListReports(&epropb.ListReportsRequest{ProjectId: "trial"})
		wantFault(t, err, codes.PermissionDenied, fault.ReasonRoleForbids)
		_, err = logic.NewGetPatientReportsLogic(as(t, device), s).GetPatientReports(&epropb.GetPatientReportsRequest{PatientId: "p1"})
		wantFault(t, err, codes.PermissionDenied, fault.ReasonRoleForbids)
		_, err = logic.NewGetReportsSummaryLogic(as(t, investigator), s).GetReportsSummary(&epropb.GetReportsSummaryRequest{ProjectId: "elsewhere"})
		wantFault(t, err, codes.PermissionDenied, fault.ReasonNoGrant)
		for _, patient := range []string{"nobody", "other"} {
			_, err = logic.NewGetPatientReportsLogic(as(t, investigator), s).GetPatientReports(&epropb.GetPatientReportsRequest{PatientId: patient})
			wantFault(t, err, codes.NotFound, fault.ReasonSubjectNotFound)
		}
	})
}

func TestReadsCheckTheirIdentifiers(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		_, err := logic.NewGetPatientReportsLogic(as(t, investigator), s).GetPatientReports(&epropb.GetPatientReportsRequest{ProjectId: "/"})
		if got, want := fields(err), "patient_id identifier.required\nproject_id identifier.malformed"; got != want {
			t.Errorf("reports of a patient: got %s", got)
		}
		_, err = logic.NewListReportsLogic(as(t, investigator), s).ListReports(&epropb.ListReportsRequest{})
		if got, want := fields(err), "project_id identifier.required"; got != want {
			t.Errorf("reports of a project: got %s", got)
		}
		_, err = logic.NewGetReportsSummaryLogic(as(t, investigator), s).GetReportsSummary(&epropb.GetReportsSummaryRequest{PatientId: "/"})
		if got, want := fields(err), "patient_id identifier.malformed\nproject_id identifier.required"; got != want {
			t.Errorf("summary: got %s", got)
		}
	})
}

func TestSummary(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		summary := func(patient string) *epropb.GetReportsSummaryResponse {
			resp, err := logic.NewGetReportsSummaryLogic(as(t, investigator), s).GetReportsSummary(
				&epropb.GetReportsSummaryRequest{ProjectId: "trial", PatientId: patient})
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		if empty := summary(""); empty.GetCount() != 0 || empty.GetNewestTime() != nil || len(empty.GetQuestionnaires()) != 0 {
			t.Errorf("of nothing: %v", empty)
		}
		equal, newest := fill(t, s)
		all, one := summary(""), summary("p2")
		if all.GetCount() != 6 || all.GetSubjects() != 2 || !all.GetNewestTime().AsTime().Equal(newest) ||
			!maps.Equal(all.GetQuestionnaires(), map[string]int64{"phq-9": 4, "gad-7": 2}) {
			t.Errorf("of all: %v", all)
		}
		if one.GetCount() != 1 || one.GetSubjects() != 1 || !one.GetNewestTime().AsTime().Equal(equal) ||
			!maps.Equal(one.GetQuestionnaires(), map[string]int64{"gad-7": 1}) {
			t.Errorf("of one: %v", one)
		}
	})
}

func TestSummaryKeepsTheMostFrequentQuestionnaires(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		for i := range 102 {
			submit(t, s, request(func(in *epropb.SubmitReportRequest) {
				in.ClientRecordId, in.QuestionnaireId = fmt.Sprint(i), fmt.Sprintf("q%03d", min(i, 100))
			}))
		}
		sum, err := logic.NewGetReportsSummaryLogic(as(t, investigator), s).GetReportsSummary(&epropb.GetReportsSummaryRequest{ProjectId: "trial"})
		if err != nil {
			t.Fatal(err)
		}
		names := slices.Sorted(maps.Keys(sum.GetQuestionnaires()))
		if len(names) != 100 || names[98] != "q098" || names[99] != "q100" || sum.GetQuestionnaires()["q100"] != 2 {
			t.Errorf("%d questionnaires, the last %v", len(names), names[max(0, len(names)-2):])
		}
	})
}

func TestReadsAreAudited(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		fill(t, s)
		ctx := as(t, auth.Grant{Role: auth.Monitor, Project: "trial"})
		if _, err := logic.NewGetPatientReportsLogic(ctx, s).GetPatientReports(&epropb.GetPatientReportsRequest{PatientId: "p1", PageSize: 2}); err != nil {
			t.Fatal(err)
		}
		if _, err := logic.NewListReportsLogic(ctx, s).ListReports(&epropb.ListReportsRequest{ProjectId: "trial"}); err != nil {
			t.Fatal(err)
		}
		if _, err := logic.NewGetReportsSummaryLogic(ctx, s).GetReportsSummary(&epropb.GetReportsSummaryRequest{ProjectId: "trial"}); err != nil {
			t.Fatal(err)
		}
		got := audited(t, s)
		want := []string{"list reports trial//p1 2 monitor u1", "list reports trial// 6 monitor u1", "summarize reports trial// 6 monitor u1"}
		if len(got) != 9 || !slices.Equal(got[6:], want) {
			t.Errorf("audit rows\n%s\nwant six creates and\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}
