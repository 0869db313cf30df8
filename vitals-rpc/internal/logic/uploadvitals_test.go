package logic_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/wirejson"
	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/logic"
	"clinsource/vitals-rpc/internal/svc"
)

func TestUploadOnce(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		in := request()
		first := upload(t, s, in)
		if !first.GetSuccess() || !first.GetCreated() || first.GetRecordId() == "" || first.GetVersion() != 1 || first.GetMessage() != "stored" {
			t.Fatalf("first answer: %v", first)
		}
		named := proto.CloneOf(in)
		named.ProjectId = "trial" // Naming the project is no other content.
		if again := upload(t, s, named); again.GetCreated() || again.GetRecordId() != first.GetRecordId() {
			t.Errorf("a resend: %v, want the record %s", again, first.GetRecordId())
		}
		in.BloodPressure.Systolic++
		_, err := try(t, s, in)
		wantFault(t, err, codes.AlreadyExists, fault.ReasonIDTaken)
		want := []string{"create vitals trial/s1/p1 0 investigator u1"}
		if got := audited(t, s); !slices.Equal(got, want) {
			t.Errorf("audit rows %q, want %q", got, want)
		}
	})
}

// A resend is answered as the first was: only created differs.
func TestResendIsAnsweredAlike(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		in := request(func(in *vitalspb.UploadVitalsRequest) {
			in.BloodPressure = &vitalspb.BloodPressure{Systolic: 230, DiastolicEntered: "130.5"}
		})
		first, again := upload(t, s, in), upload(t, s, in)
		want := []string{"QUERY blood_pressure.systolic.range blood_pressure.systolic",
			"NOTE value.rounded blood_pressure.diastolic", "QUERY blood_pressure.diastolic.range blood_pressure.diastolic"}
		if got := rules(first.GetFindings()); !slices.Equal(got, want) {
			t.Fatalf("findings %q, want %q", got, want)
		}
		if first.GetBloodPressureCategory() != vitalspb.BloodPressureCategory_HYPERTENSIVE_CRISIS {
			t.Errorf("category %v", first.GetBloodPressureCategory())
		}
		for _, f := range first.GetFindings() {
			if !strings.Contains(first.GetMessage(), f.GetMessage()) || f.GetRuleVersion() == "" {
				t.Errorf("the message %q does not carry %v", first.GetMessage(), f)
			}
		}
		if again.GetCreated() || !first.GetCreated() {
			t.Errorf("created: first %v, then %v", first.GetCreated(), again.GetCreated())
		}
		again.Created = true
		if !proto.Equal(first, again) {
			t.Errorf("first  %v\nresend %v", first, again)
		}
	})
}

func TestUploadWithoutClientRecordID(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		in := request(func(in *vitalspb.UploadVitalsRequest) { in.ClientRecordId = "" })
		first, again := upload(t, s, in), upload(t, s, in)
		if again.GetCreated() || again.GetRecordId() != first.GetRecordId() {
			t.Errorf("the same content became another record")
		}
		for name, change := range map[string]func(*vitalspb.UploadVitalsRequest){
			"value":   func(in *vitalspb.UploadVitalsRequest) { in.BloodPressure.Systolic++ },
			"sign":    func(in *vitalspb.UploadVitalsRequest) { in.HeartRate = &vitalspb.HeartRate{BeatsPerMinute: 70} },
			"time":    func(in *vitalspb.UploadVitalsRequest) { in.MeasurementTime.Seconds-- },
			"patient": func(in *vitalspb.UploadVitalsRequest) { in.PatientId = "p2" },
			"text":    func(in *vitalspb.UploadVitalsRequest) { in.BloodPressure.SystolicEntered = "118.0" },
		} {
			other := proto.CloneOf(in)
			change(other)
			if got := upload(t, s, other); !got.GetCreated() {
				t.Errorf("other content (%s) became no record of its own", name)
			}
		}
	})
}

// The article's client knows four fields, typed numbers and no texts.
func TestTheArticlesClient(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		in := &vitalspb.UploadVitalsRequest{
			PatientId: "p1", MeasurementTime: timestamppb.New(measured),
			BloodPressure: &vitalspb.BloodPressure{Systolic: 120, Diastolic: 79},
			Temperature:   &vitalspb.Temperature{Value: 37.2},
		}
		first := upload(t, s, in)
		if !first.GetSuccess() || first.GetMessage() != "stored" || first.GetBloodPressureCategory() != vitalspb.BloodPressureCategory_ELEVATED {
			t.Errorf("answer %v", first)
		}
		if again := upload(t, s, in); again.GetRecordId() != first.GetRecordId() || again.GetCreated() {
			t.Errorf("resend %v", again)
		}
		got := string(wirejson.Encode(listed(t, s, "p1")[0]))
		for _, want := range []string{
			`"blood_pressure":{"systolic":120,"diastolic":79,"systolic_entered":"120","diastolic_entered":"79"}`,
			`"temperature":{"value":37.2,"unit":"CELSIUS","value_entered":"37.2","` + celsiusField + `":"37.20"}`,
			`"measurement_time":"` + measured.UTC().Format(time.RFC3339) + `"`,
			`"source_time_text":"` + measured.UTC().Format(time.RFC3339) + `"`,
			`"blood_pressure_category":"ELEVATED"`, `"version":1`, `"record_id":"` + first.GetRecordId() + `"`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("the record does not hold %s:\n%s", want, got)
			}
		}
	})
}

// A zero that was sent as a number without a text is no measurement, and is
// refused as missing rather than stored as 0.
func TestABareZeroIsMissing(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		_, err := try(t, s, request(func(in *vitalspb.UploadVitalsRequest) {
			in.BloodPressure.Diastolic, in.Temperature = 0, &vitalspb.Temperature{}
		}))
		wantFault(t, err, codes.InvalidArgument, fault.ReasonFieldInvalid)
		if got, want := fields(err), "blood_pressure.diastolic value.missing\ntemperature.value value.missing"; got != want {
			t.Errorf("got %s", got)
		}
	})
}

func TestWhatWasEnteredComesBack(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		in := ofJSON(t, `{"patient_id":"p1","client_record_id":"c1","source_time_text":"2026-03-01T08:30:00.50+08:00",`+
			`"blood_pressure":{"systolic":119.50,"diastolic_entered":"7.6e1"},"temperature":{"value":98.60,"unit":"FAHRENHEIT"},`+
			`"heart_rate":{"beats_per_minute":72.0},"respiratory_rate":{"breaths_per_minute":16.5},`+
			`"oxygen_saturation":{"percent_entered":"97.123456789"},"body_weight":{"value":154.30,"unit":"POUND"}}`)
		upload(t, s, in)
		got := string(wirejson.Encode(listed(t, s, "p1")[0]))
		for _, want := range []string{
			`"measurement_time":"2026-03-01T00:30:00.5Z"`, `"source_time_text":"2026-03-01T08:30:00.50+08:00"`,
			`{"systolic":120,"diastolic":76,"systolic_entered":"119.50","diastolic_entered":"7.6e1","systolic_rounded":true}`,
			`{"value":98.6,"unit":"FAHRENHEIT","value_entered":"98.60","` + celsiusField + `":"37.00"}`,
			`{"beats_per_minute":72,"beats_per_minute_entered":"72.0"}`,
			`{"breaths_per_minute":16,"breaths_per_minute_entered":"16.5","breaths_per_minute_rounded":true}`, // Half to even.
			`"percent_entered":"97.123456789","percent_rounded":true}`,
			`{"value":154.3,"unit":"POUND","value_entered":"154.30","` + kilogramsField + `":"69.9893"}`,
			`"blood_pressure_category":"NORMAL"`, // By what was entered, 119.50, and not by 120.
			`"project_id":"trial"`, `"site_id":"s1"`, `"client_record_id":"c1"`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("the record does not hold %s:\n%s", want, got)
			}
		}
	})
}

// A caller over gRPC may send the fields that only the server fills, for one
// because it sends back what it has read. They change nothing, and do not make
// the content another one.
func TestDerivedFieldsOfACallerAreDropped(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		plain := request(func(in *vitalspb.UploadVitalsRequest) {
			in.ClientRecordId = ""
			in.Temperature = &vitalspb.Temperature{Value: 98.6, Unit: vitalspb.TemperatureUnit_FAHRENHEIT}
			in.BodyWeight = &vitalspb.BodyWeight{Value: 70, Unit: vitalspb.WeightUnit_KILOGRAM}
		})
		first := upload(t, s, plain)
		with := proto.CloneOf(plain)
		setField(t, with.Temperature, celsiusField, "99.99")
		setField(t, with.BodyWeight, kilogramsField, "1")
		with.Temperature.ValueRounded, with.BloodPressure.SystolicRounded = true, true
		if again := upload(t, s, with); again.GetRecordId() != first.GetRecordId() {
			t.Errorf("derived fields made other content: %v", again)
		}
		with.ClientRecordId = "c2"
		upload(t, s, with)
		for _, r := range listed(t, s, "p1") {
			got := string(wirejson.Encode(r))
			if !strings.Contains(got, `"`+celsiusField+`":"37.00"`) || !strings.Contains(got, `"`+kilogramsField+`":"70.0000"`) || strings.Contains(got, "_rounded") {
				t.Errorf("stored %s", got)
			}
		}
	})
}

func TestBloodPressureCategories(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		for _, c := range []struct{ systolic, diastolic, want string }{
			{"119", "79", "NORMAL"}, {"120", "79", "ELEVATED"}, {"129", "79", "ELEVATED"}, {"129.9", "79.9", "ELEVATED"},
			{"130", "79", "HYPERTENSION_STAGE_1"}, {"119", "80", "HYPERTENSION_STAGE_1"}, {"139", "89", "HYPERTENSION_STAGE_1"},
			{"140", "79", "HYPERTENSION_STAGE_2"}, {"119", "90", "HYPERTENSION_STAGE_2"}, {"180", "120", "HYPERTENSION_STAGE_2"},
			{"180.1", "79", "HYPERTENSIVE_CRISIS"}, {"170", "120.5", "HYPERTENSIVE_CRISIS"},
		} {
			resp := upload(t, s, request(func(in *vitalspb.UploadVitalsRequest) {
				in.ClientRecordId = ""
				in.BloodPressure = &vitalspb.BloodPressure{SystolicEntered: c.systolic, DiastolicEntered: c.diastolic}
			}))
			if got := resp.GetBloodPressureCategory().String(); got != c.want {
				t.Errorf("%s/%s is %s, want %s", c.systolic, c.diastolic, got, c.want)
			}
		}
		none := upload(t, s, weight("w", measured, 70, vitalspb.WeightUnit_KILOGRAM))
		if none.GetBloodPressureCategory() != vitalspb.BloodPressureCategory_BLOOD_PRESSURE_CATEGORY_UNSPECIFIED {
			t.Errorf("a record without a blood pressure is %v", none.GetBloodPressureCategory())
		}
	})
}

func TestWithdrawal(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		for _, c := range []struct {
			at   time.Time
			code codes.Code
		}{
			{withdrawn.Add(-time.Nanosecond), codes.OK}, {withdrawn, codes.FailedPrecondition}, {withdrawn.Add(time.Minute), codes.FailedPrecondition},
		} {
			_, err := try(t, s, request(func(in *vitalspb.UploadVitalsRequest) {
				in.PatientId, in.ClientRecordId, in.MeasurementTime = "gone", "", timestamppb.New(c.at)
			}))
			if c.code == codes.OK && err != nil {
				t.Errorf("measured before the withdrawal: %v", err)
			}
			if c.code != codes.OK {
				wantFault(t, err, c.code, fault.ReasonWithdrawn)
			}
		}
		if got := listed(t, s, "gone"); len(got) != 1 {
			t.Errorf("%d records, want the one before the withdrawal", len(got))
		}
	})
}

// What is stored on the registry's last known answer is marked where it is read.
func TestAStalePlaceMarksTheRecord(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		resp := upload(t, s, request(func(in *vitalspb.UploadVitalsRequest) { in.PatientId = "stale" }))
		if resp.GetMessage() != "stored" {
			t.Errorf("answer %v", resp)
		}
		upload(t, s, request(func(in *vitalspb.UploadVitalsRequest) { in.ClientRecordId = "c2" }))
		if got, want := rules(listed(t, s, "stale")[0].GetFindings()), []string{"NOTE subject.unverified patient_id"}; !slices.Equal(got, want) {
			t.Errorf("stale: %q, want %q", got, want)
		}
		if got := rules(listed(t, s, "p1")[0].GetFindings()); got != nil {
			t.Errorf("not stale: %q", got)
		}
	})
}

// Shows R16.
func TestTimeAheadIsNoted(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		resp := upload(t, s, request(func(in *vitalspb.UploadVitalsRequest) {
			in.MeasurementTime = timestamppb.New(time.Now().Add(4 * time.Minute))
		}))
		if got, want := rules(resp.GetFindings()), []string{"NOTE time.skew measurement_time"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestWhoMayUpload(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		for name, c := range map[string]struct {
			grants           []auth.Grant
			patient, project string
			code             codes.Code
			reason           string
		}{
			"unknown patient":            {[]auth.Grant{investigator}, "nobody", "", codes.NotFound, fault.ReasonSubjectNotFound},
			"other project's patient":    {[]auth.Grant{investigator}, "other", "", codes.NotFound, fault.ReasonSubjectNotFound},
			"patient not of the project": {[]auth.Grant{investigator}, "other", "trial", codes.NotFound, fault.ReasonSubjectNotFound},
			"project without grant":      {[]auth.Grant{investigator}, "p1", "elsewhere", codes.PermissionDenied, fault.ReasonNoGrant},
			"no token":                   {nil, "p1", "", codes.NotFound, fault.ReasonSubjectNotFound},
			"monitor":                    {[]auth.Grant{{Role: auth.Monitor, Project: "trial"}}, "p1", "", codes.PermissionDenied, fault.ReasonRoleForbids},
			"data manager":               {[]auth.Grant{{Role: auth.DataManager, Project: "trial"}}, "p1", "trial", codes.PermissionDenied, fault.ReasonRoleForbids},
			"admin without a project":    {[]auth.Grant{{Role: auth.Admin}}, "p1", "trial", codes.PermissionDenied, fault.ReasonNoGrant},
			"coordinator elsewhere":      {[]auth.Grant{{Role: auth.Coordinator, Project: "trial", Sites: []string{"s2"}}}, "p1", "", codes.NotFound, fault.ReasonSubjectNotFound},
			"another patient":            {[]auth.Grant{{Role: auth.Patient, Project: "trial", Patient: "p2"}}, "p1", "", codes.NotFound, fault.ReasonSubjectNotFound},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := logic.NewUploadVitalsLogic(as(t, c.grants...), s).UploadVitals(request(func(in *vitalspb.UploadVitalsRequest) {
					in.PatientId, in.ProjectId = c.patient, c.project
				}))
				wantFault(t, err, c.code, c.reason)
			})
		}
		for name, grant := range map[string]auth.Grant{
			"own":         {Role: auth.Patient, Project: "trial", Patient: "p1"},
			"device":      {Role: auth.Device, Project: "trial"},
			"coordinator": {Role: auth.Coordinator, Project: "trial", Sites: []string{"s1"}},
		} {
			_, err := logic.NewUploadVitalsLogic(as(t, grant), s).UploadVitals(request(func(in *vitalspb.UploadVitalsRequest) { in.ClientRecordId = name }))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		got := audited(t, s)
		slices.Sort(got)
		want := []string{"create vitals trial/s1/p1 0 coordinator u1", "create vitals trial/s1/p1 0 device u1", "create vitals trial/s1/p1 0 patient u1"}
		if !slices.Equal(got, want) {
			t.Errorf("audit rows %q, want %q", got, want)
		}
	})
}
