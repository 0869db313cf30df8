package logic_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/fault"
	medicationpb "clinsource/proto/medication"
	recordpb "clinsource/proto/record"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/svc"
)

// Shows R03.
func TestAmendAndVoidMedication(t *testing.T) {
	eachMedications(t, func(t *testing.T, s *svc.ServiceContext) {
		id := record(t, s, medication()).GetRecordId()
		ended := time.Now().Add(-time.Hour)
		amend := func(base int32, change func(*medicationpb.AmendMedicationRequest)) (*medicationpb.AmendMedicationResponse, error) {
			in := &medicationpb.AmendMedicationRequest{PatientId: "p1", RecordId: id, BaseVersion: base, Reason: "taken for one hour only"}
			change(in)
			return logic.NewAmendMedicationLogic(as(t, investigator), s).AmendMedication(in)
		}
		ongoing := func(count, want int64) {
			t.Helper()
			sum, err := logic.NewGetMedicationsSummaryLogic(as(t, investigator), s).GetMedicationsSummary(&medicationpb.GetMedicationsSummaryRequest{ProjectId: "trial"})
			if err != nil || sum.GetCount() != count || sum.GetOngoing() != want {
				t.Errorf("the summary is %v, %v; want %d ongoing of %d", sum, err, want, count)
			}
		}
		ongoing(1, 1)
		for _, created := range []bool{true, false} {
			resp, err := amend(1, func(in *medicationpb.AmendMedicationRequest) {
				in.EndTime, in.Dose, in.UpdateMask = timestamppb.New(ended), &medicationpb.Dose{Value: 0.25}, []string{"end_time", "dose.value"}
			})
			if err != nil {
				t.Fatal(err)
			}
			if m := resp.GetMedication(); resp.GetCreated() != created || m.GetVersion() != 2 || m.GetDose().GetUcumUnit() != "g" || m.GetDose().GetValueEntered() != "0.25" || m.GetEndTimeText() == "" {
				t.Errorf("the answer is %v", resp)
			}
		}
		ongoing(1, 0)
		_, err := amend(2, func(in *medicationpb.AmendMedicationRequest) { in.EndTime = timestamppb.New(ended.AddDate(-1, 0, 0)) })
		wantFault(t, err, codes.InvalidArgument, fault.ReasonFieldInvalid)
		_, err = amend(1, func(in *medicationpb.AmendMedicationRequest) { in.UpdateMask = []string{"end_time"} })
		wantFault(t, err, codes.InvalidArgument, fault.ReasonFieldInvalid) // Nothing would change of version 1.
		if resp, err := amend(2, func(in *medicationpb.AmendMedicationRequest) { in.UpdateMask = []string{"end_time"} }); err != nil || resp.GetMedication().GetEndTime() != nil || resp.GetMedication().GetEndTimeText() != "" {
			t.Errorf("the end is removed: %v, %v", resp, err)
		}
		ongoing(1, 1)
		void := &recordpb.VoidRecordRequest{PatientId: "p1", RecordId: id, BaseVersion: 3, Reason: "another patient's prescription"}
		if resp, err := logic.NewVoidMedicationLogic(as(t, investigator), s).VoidMedication(void); err != nil || !resp.GetCreated() {
			t.Errorf("voiding answers %v, %v", resp, err)
		}
		ongoing(0, 0)
		if got := list(t, s, &medicationpb.ListMedicationsRequest{ProjectId: "trial"}); len(got.GetMedications()) != 0 {
			t.Errorf("a voided record is listed: %v", got)
		}
		if got := list(t, s, &medicationpb.ListMedicationsRequest{ProjectId: "trial", IncludeVoided: true}); len(got.GetMedications()) != 1 {
			t.Errorf("voided records are %v", got)
		}
		versions, err := logic.NewListMedicationVersionsLogic(as(t, investigator), s).ListMedicationVersions(&recordpb.ListRecordVersionsRequest{PatientId: "p1", RecordId: id})
		if err != nil || len(versions.GetVersions()) != 4 {
			t.Errorf("the versions are %v, %v", versions, err)
		}
		_, err = amend(4, func(in *medicationpb.AmendMedicationRequest) { in.EndTime = timestamppb.New(ended) })
		wantFault(t, err, codes.FailedPrecondition, fault.ReasonVoided)
	})
}
