package logic_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/fault"
	recordpb "clinsource/proto/record"
	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/logic"
	"clinsource/vitals-rpc/internal/svc"
)

// correction is an amendment of p1's record that is in order.
func correction(id string, base int32, change ...func(*vitalspb.AmendVitalsRequest)) *vitalspb.AmendVitalsRequest {
	in := &vitalspb.AmendVitalsRequest{
		PatientId: "p1", RecordId: id, BaseVersion: base, Reason: "misread on the cuff",
		BloodPressure: &vitalspb.BloodPressure{Systolic: 144, Diastolic: 76},
	}
	for _, f := range change {
		f(in)
	}
	return in
}

func tryAmend(t *testing.T, s *svc.ServiceContext, in *vitalspb.AmendVitalsRequest) (*vitalspb.AmendVitalsResponse, error) {
	t.Helper()
	return logic.NewAmendVitalsLogic(as(t, investigator), s).AmendVitals(in)
}

func amend(t *testing.T, s *svc.ServiceContext, in *vitalspb.AmendVitalsRequest) *vitalspb.AmendVitalsResponse {
	t.Helper()
	resp, err := tryAmend(t, s, in)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func voidRecord(t *testing.T, s *svc.ServiceContext, patient, id string, base int32) *vitalspb.VoidVitalsResponse {
	t.Helper()
	resp, err := logic.NewVoidVitalsLogic(as(t, investigator), s).VoidVitals(
		&recordpb.VoidRecordRequest{PatientId: patient, RecordId: id, BaseVersion: base, Reason: "wrong subject"})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func amendRefused(t *testing.T, err error, code codes.Code, reason, rules string) {
	t.Helper()
	f := fault.From(err)
	if f == nil || f.Code != code || f.Reason != reason {
		t.Errorf("the answer is %v, want %s %s", err, code, reason)
		return
	}
	var got []string
	for _, v := range f.Violations {
		got = append(got, v.Field+" "+v.Rule)
	}
	if rules != "" && strings.Join(got, ",") != rules {
		t.Errorf("refused by %q, want %q", got, rules)
	}
}

// Shows R03.
func TestAmendVitals(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		up := upload(t, s, request(func(in *vitalspb.UploadVitalsRequest) {
			in.HeartRate = &vitalspb.HeartRate{BeatsPerMinuteEntered: "64.0"}
			in.SourceTimeText = measured.In(time.FixedZone("", 7200)).Format(time.RFC3339)
		}))
		resp := amend(t, s, correction(up.GetRecordId(), 1))
		r := resp.GetRecord()
		if !resp.GetCreated() || r.GetVersion() != 2 || r.GetBloodPressure().GetSystolicEntered() != "144" || r.GetBloodPressureCategory() != vitalspb.BloodPressureCategory_HYPERTENSION_STAGE_2 ||
			r.GetHeartRate().GetBeatsPerMinuteEntered() != "64.0" || !strings.HasSuffix(r.GetSourceTimeText(), "+02:00") || r.GetClientRecordId() != "c1" ||
			r.GetChange().GetAction() != recordpb.ChangeAction_AMENDED || r.GetChange().GetActor() != "u1" || r.GetChange().GetReason() != "misread on the cuff" {
			t.Errorf("the answer is %v", resp)
		}
		if again := amend(t, s, correction(up.GetRecordId(), 1)); again.GetCreated() || again.GetRecord().GetVersion() != 2 {
			t.Errorf("sent again the answer is %v", again)
		}
		versions, err := logic.NewListVitalsVersionsLogic(as(t, investigator), s).ListVitalsVersions(&recordpb.ListRecordVersionsRequest{PatientId: "p1", RecordId: up.GetRecordId()})
		if err != nil || len(versions.GetVersions()) != 2 || versions.GetVersions()[0].GetBloodPressure().GetSystolic() != 118 {
			t.Errorf("the versions are %v, %v", versions, err)
		}
		summary, err := logic.NewGetVitalsSummaryLogic(as(t, investigator), s).GetVitalsSummary(&vitalspb.GetVitalsSummaryRequest{ProjectId: "trial"})
		if err != nil || summary.GetCount() != 1 || len(summary.GetBloodPressureCategories()) != 1 || summary.GetBloodPressureCategories()["HYPERTENSION_STAGE_2"] != 1 {
			t.Errorf("the summary is %v, %v", summary, err)
		}
	})
}

// A correction is judged as an upload is, by every rule, and by those of a
// correction beside them.
func TestAmendVitalsRefusals(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		id := upload(t, s, request()).GetRecordId()
		for _, c := range []struct {
			change func(*vitalspb.AmendVitalsRequest)
			code   codes.Code
			reason string
			rules  string
		}{
			{func(in *vitalspb.AmendVitalsRequest) { in.BloodPressure.Systolic = 999 }, codes.InvalidArgument, fault.ReasonFieldInvalid, "blood_pressure.systolic blood_pressure.systolic.range"},
			{func(in *vitalspb.AmendVitalsRequest) {
				in.BloodPressure = nil
				in.UpdateMask = []string{"blood_pressure"}
			}, codes.InvalidArgument, fault.ReasonFieldInvalid, ""},
			{func(in *vitalspb.AmendVitalsRequest) { in.MeasurementTime = timestamppb.New(time.Now().Add(time.Hour)) }, codes.InvalidArgument, fault.ReasonFieldInvalid, "measurement_time time.future"},
			{func(in *vitalspb.AmendVitalsRequest) { in.BloodPressure.Systolic = 118 }, codes.InvalidArgument, fault.ReasonFieldInvalid, "content amendment.no_change"},
			{func(in *vitalspb.AmendVitalsRequest) { in.BloodPressure = nil }, codes.InvalidArgument, fault.ReasonFieldInvalid, "content amendment.no_change"},
			{func(in *vitalspb.AmendVitalsRequest) { in.UpdateMask = []string{"client_record_id"} }, codes.InvalidArgument, fault.ReasonFieldInvalid, ""},
			{func(in *vitalspb.AmendVitalsRequest) { in.Reason = "n/a" }, codes.InvalidArgument, fault.ReasonFieldInvalid, "reason reason.meaningless"},
			{func(in *vitalspb.AmendVitalsRequest) { in.BaseVersion = 0 }, codes.InvalidArgument, fault.ReasonFieldInvalid, "base_version base_version.required"},
			{func(in *vitalspb.AmendVitalsRequest) { in.BaseVersion = 2 }, codes.Aborted, fault.ReasonStale, "base_version base_version.stale"},
			{func(in *vitalspb.AmendVitalsRequest) { in.RecordId = "nobody" }, codes.NotFound, fault.ReasonRecordNotFound, ""},
			{func(in *vitalspb.AmendVitalsRequest) { in.PatientId = "p2" }, codes.NotFound, fault.ReasonRecordNotFound, ""},
			{func(in *vitalspb.AmendVitalsRequest) { in.PatientId = "nobody" }, codes.NotFound, fault.ReasonSubjectNotFound, ""},
			{func(in *vitalspb.AmendVitalsRequest) { in.ProjectId = "elsewhere" }, codes.PermissionDenied, fault.ReasonNoGrant, ""},
		} {
			_, err := tryAmend(t, s, correction(id, 1, c.change))
			amendRefused(t, err, c.code, c.reason, c.rules)
		}
		before := upload(t, s, request(func(in *vitalspb.UploadVitalsRequest) {
			in.PatientId, in.ClientRecordId, in.MeasurementTime = "gone", "c2", timestamppb.New(withdrawn.Add(-time.Minute))
		}))
		gone := func(in *vitalspb.AmendVitalsRequest) { in.PatientId = "gone" }
		_, err := tryAmend(t, s, correction(before.GetRecordId(), 1, gone, func(in *vitalspb.AmendVitalsRequest) { in.MeasurementTime = timestamppb.New(withdrawn) }))
		amendRefused(t, err, codes.FailedPrecondition, fault.ReasonWithdrawn, "")
		if resp := amend(t, s, correction(before.GetRecordId(), 1, gone)); !resp.GetCreated() {
			t.Error("what was measured before the withdrawal cannot be corrected after it")
		}
	})
}

// The newest values after any sequence of uploads, corrections and voidings are
// those of a naive model.
func TestLatestAfterAnySequence(t *testing.T) {
	type known struct {
		id, patient string
		at          time.Time
		heart, spo2 int32 // 0: not measured.
		version     int32
	}
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		random := rand.New(rand.NewPCG(3, 4))
		var all []*known
		fill := func(k *known) (*vitalspb.HeartRate, *vitalspb.OxygenSaturation) {
			k.at = measured.Add(-time.Duration(random.IntN(12)) * time.Hour)
			k.heart, k.spo2 = 50+random.Int32N(50), 0
			if random.IntN(2) == 0 {
				k.spo2 = 90 + random.Int32N(10)
			}
			var spo2 *vitalspb.OxygenSaturation
			if k.spo2 != 0 {
				spo2 = &vitalspb.OxygenSaturation{Percent: float32(k.spo2)}
			}
			return &vitalspb.HeartRate{BeatsPerMinute: k.heart}, spo2
		}
		for i := range 120 {
			switch n := random.IntN(5); {
			case len(all) == 0 || n < 2:
				k := &known{patient: fmt.Sprint("p", 1+random.IntN(2)), version: 1}
				in := &vitalspb.UploadVitalsRequest{PatientId: k.patient, ClientRecordId: fmt.Sprint("c", i)}
				in.HeartRate, in.OxygenSaturation = fill(k)
				in.MeasurementTime = timestamppb.New(k.at)
				k.id = upload(t, s, in).GetRecordId()
				all = append(all, k)
			case n < 4:
				k := all[random.IntN(len(all))]
				in := &vitalspb.AmendVitalsRequest{PatientId: k.patient, RecordId: k.id, BaseVersion: k.version, Reason: "misread",
					UpdateMask: []string{"measurement_time", "heart_rate", "oxygen_saturation"}}
				was := *k
				in.HeartRate, in.OxygenSaturation = fill(k)
				if k.at.Equal(was.at) && k.heart == was.heart && k.spo2 == was.spo2 {
					continue
				}
				in.MeasurementTime = timestamppb.New(k.at)
				amend(t, s, in)
				k.version++
			default:
				i := random.IntN(len(all))
				voidRecord(t, s, all[i].patient, all[i].id, all[i].version)
				all = slices.Delete(all, i, i+1)
			}
			if i%6 != 5 {
				continue
			}
			var want []string
			slices.SortFunc(all, func(a, b *known) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(b.id, a.id)) })
			for _, patient := range []string{"p1", "p2"} {
				for _, sign := range []string{"heart_rate", "oxygen_saturation"} {
					for _, k := range all {
						value := k.heart
						if sign == "oxygen_saturation" {
							value = k.spo2
						}
						if k.patient == patient && value != 0 {
							want = append(want, fmt.Sprintf("%s %s %d %s %s", patient, sign, value, k.at.UTC(), k.id))
							break
						}
					}
				}
			}
			resp, err := logic.NewGetLatestVitalsLogic(as(t, investigator), s).GetLatestVitals(&vitalspb.GetLatestVitalsRequest{ProjectId: "trial"})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range resp.GetLatest() {
				value, _, _ := strings.Cut(v.GetValues()[0].GetCanonical(), ".")
				got = append(got, fmt.Sprintf("%s %s %s %s %s", v.GetPatientId(), v.GetSign(), value, v.GetMeasurementTime().AsTime(), v.GetRecordId()))
			}
			if !slices.Equal(got, want) {
				t.Fatalf("after %d steps the newest values are\n%s\nwant\n%s", i, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	})
}

// A correction is compared with the values of other records, not with the one that
// it corrects.
func TestACorrectionIsNotComparedWithItself(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		upload(t, s, weight("w1", measured.Add(-24*time.Hour), 70, vitalspb.WeightUnit_KILOGRAM))
		second := upload(t, s, weight("w2", measured, 170, vitalspb.WeightUnit_KILOGRAM))
		if len(second.GetFindings()) == 0 {
			t.Fatal("a hundred kilograms in a day are not asked about")
		}
		resp := amend(t, s, &vitalspb.AmendVitalsRequest{PatientId: "p1", RecordId: second.GetRecordId(), BaseVersion: 1, Reason: "digit too many",
			BodyWeight: &vitalspb.BodyWeight{Value: 70.5}, UpdateMask: []string{"body_weight.value"}})
		if r := resp.GetRecord(); len(r.GetFindings()) != 0 || r.GetBodyWeight().GetUnit() != vitalspb.WeightUnit_KILOGRAM {
			t.Errorf("the corrected record is %v", r)
		}
	})
}
