package logic_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/logic"
	"clinsource/vitals-rpc/internal/svc"
)

// fill stores records of p1 and p3 (site s1), the first three at one time, and
// one of p2 (site s2).
func fill(t *testing.T, s *svc.ServiceContext) (equal, newest time.Time) {
	t.Helper()
	newest, equal = measured, measured.Add(-time.Hour)
	put := func(patient, id string, at time.Time, f func(in *vitalspb.UploadVitalsRequest)) {
		in := &vitalspb.UploadVitalsRequest{PatientId: patient, ClientRecordId: id, MeasurementTime: timestamppb.New(at)}
		f(in)
		upload(t, s, in)
	}
	pressure := func(systolic, diastolic int32) func(*vitalspb.UploadVitalsRequest) {
		return func(in *vitalspb.UploadVitalsRequest) {
			in.BloodPressure = &vitalspb.BloodPressure{Systolic: systolic, Diastolic: diastolic}
		}
	}
	rate := func(beats int32) func(*vitalspb.UploadVitalsRequest) {
		return func(in *vitalspb.UploadVitalsRequest) { in.HeartRate = &vitalspb.HeartRate{BeatsPerMinute: beats} }
	}
	put("p1", "a", equal, pressure(118, 76))
	put("p1", "b", equal, rate(70))
	put("p1", "c", equal, func(in *vitalspb.UploadVitalsRequest) {
		in.Temperature = &vitalspb.Temperature{Value: 98.6, Unit: vitalspb.TemperatureUnit_FAHRENHEIT}
	})
	put("p1", "new", newest, pressure(142, 76))
	put("p1", "old", equal.Add(-time.Hour), pressure(119, 77))
	put("p2", "two", equal, pressure(230, 110)) // Queried.
	put("p3", "three", equal, rate(71))
	return equal, newest
}

func ids(records []*vitalspb.VitalsRecord) (out []string) {
	for _, r := range records {
		out = append(out, r.GetClientRecordId())
	}
	return out
}

// signsOf writes newest values as "patient sign entered".
func signsOf(values []*vitalspb.LatestVital) (out []string) {
	for _, v := range values {
		var entered []string
		for _, c := range v.GetValues() {
			entered = append(entered, c.GetEntered())
		}
		out = append(out, v.GetPatientId()+" "+v.GetSign()+" "+strings.Join(entered, "/"))
	}
	return out
}

// joined turns the pages of a list until there is no next one.
func joined(t *testing.T, turn func(token string) (items []string, next string)) (all []string) {
	t.Helper()
	for token := ""; ; {
		items, next := turn(token)
		if all = append(all, items...); next == "" {
			return all
		}
		if len(items) == 0 || len(all) > 100 {
			t.Fatalf("the list does not end: %d items so far", len(all))
		}
		token = next
	}
}

// Pages of any size join to the same list, also over equal times.
func TestListKeepsItsOrderAcrossPages(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		fill(t, s)
		whole := ids(listed(t, s, "p1"))
		if len(whole) != 5 || whole[0] != "new" || whole[4] != "old" {
			t.Fatalf("whole list %v", whole)
		}
		for size := int32(1); size <= 7; size++ {
			got := joined(t, func(token string) ([]string, string) {
				resp, err := logic.NewListVitalsLogic(as(t, investigator), s).ListVitals(
					&vitalspb.ListVitalsRequest{PatientId: "p1", ProjectId: "trial", PageSize: size, PageToken: token})
				if err != nil {
					t.Fatal(err)
				}
				return ids(resp.GetRecords()), resp.GetNextPageToken()
			})
			if !slices.Equal(got, whole) {
				t.Errorf("by %d: %v, want %v", size, got, whole)
			}
		}
	})
}

func TestLatestIsTheNewestPerSubjectAndSign(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		equal, newest := fill(t, s)
		want := []string{"p1 blood_pressure 142/76", "p1 heart_rate 70", "p1 temperature 98.6", "p2 blood_pressure 230/110", "p3 heart_rate 71"}
		values := latest(t, s)
		if got := signsOf(values); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		for size := int32(1); size <= 7; size++ {
			got := joined(t, func(token string) ([]string, string) {
				resp, err := logic.NewGetLatestVitalsLogic(as(t, investigator), s).GetLatestVitals(
					&vitalspb.GetLatestVitalsRequest{ProjectId: "trial", PageSize: size, PageToken: token})
				if err != nil {
					t.Fatal(err)
				}
				return signsOf(resp.GetLatest()), resp.GetNextPageToken()
			})
			if !slices.Equal(got, want) {
				t.Errorf("by %d: %q, want %q", size, got, want)
			}
		}
		pressure, temperature, queried := values[0], values[2], values[3]
		if pressure.GetBloodPressureCategory() != vitalspb.BloodPressureCategory_HYPERTENSION_STAGE_2 || pressure.GetSiteId() != "s1" ||
			!pressure.GetMeasurementTime().AsTime().Equal(newest) || pressure.GetQueried() || pressure.GetRecordId() == "" {
			t.Errorf("blood pressure %v", pressure)
		}
		if v := pressure.GetValues()[1]; v.GetField() != "blood_pressure.diastolic" || v.GetCanonical() != "76" || v.GetUcumUnit() != "mm[Hg]" || v.GetEnteredUnit() != "mm[Hg]" {
			t.Errorf("a sign of one unit: %v", v)
		}
		if v := temperature.GetValues()[0]; v.GetCanonical() != "37.00" || v.GetUcumUnit() != "Cel" || v.GetEnteredUnit() != "FAHRENHEIT" || v.GetField() != "temperature.value" {
			t.Errorf("a sign of several units: %v", v)
		}
		if temperature.GetBloodPressureCategory() != 0 || !temperature.GetMeasurementTime().AsTime().Equal(equal) {
			t.Errorf("temperature %v", temperature)
		}
		if !queried.GetQueried() || queried.GetSiteId() != "s2" {
			t.Errorf("queried %v", queried)
		}
	})
}

func TestPageTokensBelongToTheirList(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		fill(t, s)
		resp, err := logic.NewGetLatestVitalsLogic(as(t, investigator), s).GetLatestVitals(&vitalspb.GetLatestVitalsRequest{ProjectId: "trial", PageSize: 1})
		if err != nil {
			t.Fatal(err)
		}
		_, err = logic.NewListVitalsLogic(as(t, investigator), s).ListVitals(&vitalspb.ListVitalsRequest{PatientId: "p1", PageToken: resp.GetNextPageToken()})
		wantFault(t, err, codes.InvalidArgument, fault.ReasonPageTokenInvalid)
		_, err = logic.NewGetLatestVitalsLogic(as(t, investigator), s).GetLatestVitals(&vitalspb.GetLatestVitalsRequest{ProjectId: "trial", PageToken: "x"})
		wantFault(t, err, codes.InvalidArgument, fault.ReasonPageTokenInvalid)
		_, err = logic.NewListVitalsLogic(as(t, investigator), s).ListVitals(&vitalspb.ListVitalsRequest{PatientId: "p1", PageSize: -1})
		if got := fields(err); got != "page_size page.size" {
			t.Errorf("got %s", got)
		}
	})
}

func TestWhoMayRead(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		fill(t, s)
		for name, c := range map[string]struct {
			grant           auth.Grant
			latest, records int
		}{
			"monitor":     {auth.Grant{Role: auth.Monitor, Project: "trial"}, 5, 7},
			"partner":     {auth.Grant{Role: auth.Partner, Project: "trial"}, 5, 7},
			"site s1":     {auth.Grant{Role: auth.Coordinator, Project: "trial", Sites: []string{"s1"}}, 4, 6},
			"site s2":     {auth.Grant{Role: auth.Coordinator, Project: "trial", Sites: []string{"s2"}}, 1, 1},
			"site s3":     {auth.Grant{Role: auth.Coordinator, Project: "trial", Sites: []string{"s3"}}, 0, 0},
			"two sites":   {auth.Grant{Role: auth.Coordinator, Project: "trial", Sites: []string{"s2", "s1"}}, 5, 7},
			"the patient": {auth.Grant{Role: auth.Patient, Project: "trial", Patient: "p1"}, 3, 5},
		} {
			resp, err := logic.NewGetLatestVitalsLogic(as(t, c.grant), s).GetLatestVitals(&vitalspb.GetLatestVitalsRequest{ProjectId: "trial"})
			if err != nil || len(resp.GetLatest()) != c.latest {
				t.Errorf("%s: %d newest values, %v; want %d", name, len(resp.GetLatest()), err, c.latest)
			}
			sum, err := logic.NewGetVitalsSummaryLogic(as(t, c.grant), s).GetVitalsSummary(&vitalspb.GetVitalsSummaryRequest{ProjectId: "trial"})
			if err != nil || sum.GetCount() != int64(c.records) {
				t.Errorf("%s: %d counted, %v; want %d", name, sum.GetCount(), err, c.records)
			}
		}
	})
}

func TestWhoMayNotRead(t *testing.T) {
	list := func(t *testing.T, s *svc.ServiceContext, grant auth.Grant, patient string) error {
		_, err := logic.NewListVitalsLogic(as(t, grant), s).ListVitals(&vitalspb.ListVitalsRequest{PatientId: patient})
		return err
	}
	newest := func(t *testing.T, s *svc.ServiceContext, grant auth.Grant, project string) error {
		_, err := logic.NewGetLatestVitalsLogic(as(t, grant), s).GetLatestVitals(&vitalspb.GetLatestVitalsRequest{ProjectId: project})
		return err
	}
	summary := func(t *testing.T, s *svc.ServiceContext, grant auth.Grant, project, patient string) error {
		_, err := logic.NewGetVitalsSummaryLogic(as(t, grant), s).GetVitalsSummary(&vitalspb.GetVitalsSummaryRequest{ProjectId: project, PatientId: patient})
		return err
	}
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		fill(t, s)
		device, siteTwo := auth.Grant{Role: auth.Device, Project: "trial"}, auth.Grant{Role: auth.Coordinator, Project: "trial", Sites: []string{"s2"}}
		own := auth.Grant{Role: auth.Patient, Project: "trial", Patient: "p1"}
		for _, err := range []error{list(t, s, device, "p1"), newest(t, s, device, "trial"), summary(t, s, device, "trial", "")} {
			wantFault(t, err, codes.PermissionDenied, fault.ReasonRoleForbids)
		}
		for _, err := range []error{newest(t, s, investigator, "elsewhere"), summary(t, s, investigator, "elsewhere", "")} {
			wantFault(t, err, codes.PermissionDenied, fault.ReasonNoGrant)
		}
		for _, err := range []error{
			list(t, s, investigator, "nobody"), list(t, s, investigator, "other"), list(t, s, siteTwo, "p1"), list(t, s, own, "p2"),
			summary(t, s, investigator, "trial", "nobody"), summary(t, s, investigator, "trial", "other"),
			summary(t, s, siteTwo, "trial", "p1"), summary(t, s, own, "trial", "p2"),
		} {
			wantFault(t, err, codes.NotFound, fault.ReasonSubjectNotFound)
		}
	})
}

func TestReadsCheckTheirIdentifiers(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		_, err := logic.NewListVitalsLogic(as(t, investigator), s).ListVitals(&vitalspb.ListVitalsRequest{ProjectId: "/"})
		if got, want := fields(err), "patient_id identifier.required\nproject_id identifier.malformed"; got != want {
			t.Errorf("list: got %s", got)
		}
		_, err = logic.NewGetLatestVitalsLogic(as(t, investigator), s).GetLatestVitals(&vitalspb.GetLatestVitalsRequest{})
		if got, want := fields(err), "project_id identifier.required"; got != want {
			t.Errorf("latest: got %s", got)
		}
		_, err = logic.NewGetVitalsSummaryLogic(as(t, investigator), s).GetVitalsSummary(&vitalspb.GetVitalsSummaryRequest{PatientId: "/"})
		if got, want := fields(err), "patient_id identifier.malformed\nproject_id identifier.required"; got != want {
			t.Errorf("summary: got %s", got)
		}
	})
}

func TestSummary(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		summary := func(patient string) *vitalspb.GetVitalsSummaryResponse {
			resp, err := logic.NewGetVitalsSummaryLogic(as(t, investigator), s).GetVitalsSummary(
				&vitalspb.GetVitalsSummaryRequest{ProjectId: "trial", PatientId: patient})
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		if empty := summary(""); empty.GetCount() != 0 || empty.GetSubjects() != 0 || empty.GetNewestTime() != nil || len(empty.GetBloodPressureCategories()) != 0 {
			t.Errorf("of nothing: %v", empty)
		}
		if none := summary("p1"); none.GetCount() != 0 {
			t.Errorf("of a subject without records: %v", none)
		}
		equal, newest := fill(t, s)
		all, one := summary(""), summary("p2")
		if all.GetCount() != 7 || all.GetSubjects() != 3 || all.GetQueried() != 1 || !all.GetNewestTime().AsTime().Equal(newest) ||
			!maps.Equal(all.GetBloodPressureCategories(), map[string]int64{"NORMAL": 2, "HYPERTENSION_STAGE_2": 1, "HYPERTENSIVE_CRISIS": 1}) {
			t.Errorf("of all: %v", all)
		}
		if one.GetCount() != 1 || one.GetSubjects() != 1 || one.GetQueried() != 1 || !one.GetNewestTime().AsTime().Equal(equal) ||
			!maps.Equal(one.GetBloodPressureCategories(), map[string]int64{"HYPERTENSIVE_CRISIS": 1}) {
			t.Errorf("of one: %v", one)
		}
	})
}

func TestReadsAreAudited(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		fill(t, s)
		written := len(audited(t, s))
		ctx := as(t, auth.Grant{Role: auth.Monitor, Project: "trial"})
		if _, err := logic.NewListVitalsLogic(ctx, s).ListVitals(&vitalspb.ListVitalsRequest{PatientId: "p1", PageSize: 2}); err != nil {
			t.Fatal(err)
		}
		if _, err := logic.NewGetLatestVitalsLogic(ctx, s).GetLatestVitals(&vitalspb.GetLatestVitalsRequest{ProjectId: "trial"}); err != nil {
			t.Fatal(err)
		}
		if _, err := logic.NewGetVitalsSummaryLogic(ctx, s).GetVitalsSummary(&vitalspb.GetVitalsSummaryRequest{ProjectId: "trial"}); err != nil {
			t.Fatal(err)
		}
		got := audited(t, s)
		want := []string{"list vitals trial//p1 2 monitor u1", "list vitals trial// 5 monitor u1", "summarize vitals trial// 7 monitor u1"}
		if written != 7 || !slices.Equal(got[written:], want) {
			t.Errorf("audit rows\n%s\nwant seven creates and\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}
