package logic_test

import (
	"maps"
	"testing"

	"google.golang.org/grpc/codes"

	"clinsource/epro-rpc/internal/logic"
	"clinsource/epro-rpc/internal/svc"
	"clinsource/internal/fault"
	epropb "clinsource/proto/epro"
	recordpb "clinsource/proto/record"
)

// Shows R03.
func TestAmendAndVoidReport(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		id := submit(t, s, request()).GetRecordId()
		in := &epropb.AmendReportRequest{PatientId: "p1", RecordId: id, BaseVersion: 1, Reason: "wrong form chosen", QuestionnaireId: "gad-7",
			Answers: []*epropb.Answer{
				{LinkId: "q1", Value: &epropb.Answer_IntegerValue{IntegerValue: 3}},
				{LinkId: "q2", Value: &epropb.Answer_TextValue{TextValue: "since Monday"}},
			}}
		for _, created := range []bool{true, false} {
			resp, err := logic.NewAmendReportLogic(as(t, investigator), s).AmendReport(in)
			if err != nil {
				t.Fatal(err)
			}
			if r := resp.GetReport(); resp.GetCreated() != created || r.GetVersion() != 2 || len(r.GetAnswers()) != 2 || r.GetQuestionnaireVersion() != "1.0" ||
				r.GetClientRecordId() != "c1" || r.GetChange().GetReason() != "wrong form chosen" {
				t.Errorf("the answer is %v", resp)
			}
		}
		counts := func(want map[string]int64) {
			t.Helper()
			sum, err := logic.NewGetReportsSummaryLogic(as(t, investigator), s).GetReportsSummary(&epropb.GetReportsSummaryRequest{ProjectId: "trial"})
			if err != nil || !maps.Equal(sum.GetQuestionnaires(), want) || sum.GetCount() != int64(len(want)) {
				t.Errorf("the summary is %v, %v; want %v", sum, err, want)
			}
		}
		counts(map[string]int64{"gad-7": 1})
		_, err := logic.NewAmendReportLogic(as(t, investigator), s).AmendReport(&epropb.AmendReportRequest{
			PatientId: "p1", RecordId: id, BaseVersion: 2, Reason: "no answers at all", UpdateMask: []string{"answers", "questionnaire_id"}})
		wantFault(t, err, codes.InvalidArgument, fault.ReasonFieldInvalid)

		void := &recordpb.VoidRecordRequest{PatientId: "p1", RecordId: id, BaseVersion: 2, Reason: "filled in by the wrong person"}
		gone, err := logic.NewVoidReportLogic(as(t, investigator), s).VoidReport(void)
		if err != nil || gone.GetReport().GetChange().GetAction() != recordpb.ChangeAction_VOIDED {
			t.Errorf("voiding answers %v, %v", gone, err)
		}
		counts(map[string]int64{})
		for voided, want := range map[bool]int{false: 0, true: 1} {
			list, err := logic.NewGetPatientReportsLogic(as(t, investigator), s).GetPatientReports(&epropb.GetPatientReportsRequest{PatientId: "p1", IncludeVoided: voided})
			all, err2 := logic.NewListReportsLogic(as(t, investigator), s).ListReports(&epropb.ListReportsRequest{ProjectId: "trial", IncludeVoided: voided})
			if err != nil || err2 != nil || len(list.GetReports()) != want || len(all.GetReports()) != want {
				t.Errorf("with voided ones %v: %v, %v, %v, %v", voided, list, err, all, err2)
			}
		}
		versions, err := logic.NewListReportVersionsLogic(as(t, investigator), s).ListReportVersions(&recordpb.ListRecordVersionsRequest{PatientId: "p1", RecordId: id})
		if err != nil || len(versions.GetVersions()) != 3 || len(versions.GetVersions()[0].GetAnswers()) != 1 {
			t.Errorf("the versions are %v, %v", versions, err)
		}
	})
}
