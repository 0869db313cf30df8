package wire_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/fault"
	"clinsource/project-api/internal/wire"
	dicompb "clinsource/proto/dicom"
	epropb "clinsource/proto/epro"
	medicationpb "clinsource/proto/medication"
	recordpb "clinsource/proto/record"
	subjectpb "clinsource/proto/subject"
	vitalspb "clinsource/proto/vitals"
)

// The fields that only the server fills, of all that a request may hold.
var derived = []string{
	"epro.Answer.decimal_value_rounded", "medication.Dose.value_rounded",
	"vitals.BloodPressure.diastolic_rounded", "vitals.BloodPressure.systolic_rounded",
	"vitals.BodyWeight.canonical_kilograms", "vitals.BodyWeight.value_rounded", "vitals.HeartRate.beats_per_minute_rounded",
	"vitals.OxygenSaturation.percent_rounded", "vitals.RespiratoryRate.breaths_per_minute_rounded",
	"vitals.Temperature.canonical_celsius", "vitals.Temperature.value_rounded",
}

// requests are the bodies that the gateway reads.
var requests = []proto.Message{
	&vitalspb.UploadVitalsRequest{}, &epropb.SubmitReportRequest{}, &medicationpb.RecordMedicationRequest{},
	&subjectpb.CreateProjectRequest{}, &subjectpb.CreateSiteRequest{}, &subjectpb.CreateSubjectRequest{}, &subjectpb.WithdrawSubjectRequest{},
}

// walk calls f with every field that a message may hold, at any depth.
func walk(md protoreflect.MessageDescriptor, f func(fd protoreflect.FieldDescriptor)) {
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f(fd)
		if fd.Message() != nil && !fd.IsMap() {
			walk(fd.Message(), f)
		}
	}
}

func TestDerived(t *testing.T) {
	found := map[string]bool{}
	for _, m := range requests {
		walk(m.ProtoReflect().Descriptor(), func(fd protoreflect.FieldDescriptor) {
			if wire.Derived(fd) {
				found[string(fd.FullName())] = true
			}
		})
	}
	var got []string
	for name := range found {
		got = append(got, name)
	}
	if slices.Sort(got); !slices.Equal(got, derived) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(derived, "\n"))
	}
}

// A derived field is refused by its path, whichever it is; null says nothing.
func TestDerivedFieldsAreRefused(t *testing.T) {
	for body, want := range map[string]string{
		`{"temperature":{"value":37.2,"canonical_celsius":"37.20"}}`:                   "temperature.canonical_celsius",
		`{"body_weight":{"value":70,"unit":"KILOGRAM","canonical_kilograms":"70"}}`:    "body_weight.canonical_kilograms",
		`{"blood_pressure":{"systolic":120,"diastolic":80,"systolic_rounded":false}}`:  "blood_pressure.systolic_rounded",
		`{"temperature":{"value":37.2,"canonical_celsius":null,"value_rounded":null}}`: "",
		`{"blood_pressure":{"systolic":120,"diastolic":80,"systolic_entered":"121"}}`:  "blood_pressure.systolic", // Not derived: it disagrees.
	} {
		err := wire.Decode([]byte(body), &vitalspb.UploadVitalsRequest{})
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", body, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s is taken", body)
			continue
		}
		f := fault.From(err)
		readOnly := f.Violations[0].Rule == "field.read_only"
		if f.Code != codes.InvalidArgument || f.Reason != fault.ReasonFieldInvalid || len(f.Violations) != 1 ||
			f.Violations[0].Field != want || readOnly == strings.HasSuffix(want, "systolic") {
			t.Errorf("%s: %v %v", body, f, f.Violations)
		}
	}
}

func TestDecodeCompletesWhatCame(t *testing.T) {
	in := &vitalspb.UploadVitalsRequest{}
	err := wire.Decode([]byte(`{"measurement_time":"2026-03-01T08:30:00+08:00","blood_pressure":{"systolic":100.67,"diastolic_entered":"70"},"temperature":{"value":37.20}}`), in)
	if err != nil {
		t.Fatal(err)
	}
	want := &vitalspb.UploadVitalsRequest{
		MeasurementTime: &timestamppb.Timestamp{Seconds: 1772325000}, SourceTimeText: "2026-03-01T08:30:00+08:00",
		BloodPressure: &vitalspb.BloodPressure{Systolic: 101, SystolicEntered: "100.67", SystolicRounded: true, Diastolic: 70, DiastolicEntered: "70"},
		Temperature:   &vitalspb.Temperature{Value: 37.2, ValueEntered: "37.20"},
	}
	if !proto.Equal(in, want) {
		t.Errorf("got  %v\nwant %v", in, want)
	}
}

// What is wrong with the body as a whole has its own reason.
func TestWhatIsWrongWithABody(t *testing.T) {
	for body, want := range map[string]string{
		``: fault.ReasonBodyInvalid, `[]`: fault.ReasonBodyInvalid, `null`: fault.ReasonBodyInvalid, `{"patient_id":"p1"`: fault.ReasonBodyInvalid, `{} {}`: fault.ReasonBodyInvalid,
		`{"patient":"p1"}`: fault.ReasonFieldInvalid, `{"patient_id":1}`: fault.ReasonFieldInvalid, `{"temperature":{"value":"37"}}`: fault.ReasonFieldInvalid,
		`{"temperature":{"value":37,"unit":"KELVIN"}}`: fault.ReasonFieldInvalid, `{"measurement_time":"now"}`: fault.ReasonFieldInvalid,
	} {
		err := wire.Decode([]byte(body), &vitalspb.UploadVitalsRequest{})
		if f := fault.From(err); err == nil || f.Code != codes.InvalidArgument || f.Reason != want || len(f.Violations) == 0 {
			t.Errorf("%s: %v, want %s", body, f, want)
		}
	}
	if err := wire.Decode([]byte(`{}`), &vitalspb.UploadVitalsRequest{}); err != nil {
		t.Errorf("what is missing, the service says: %v", err)
	}
}

// Lists, counts and outcomes are there even when empty or zero; what was not
// given is not.
func TestAlwaysShown(t *testing.T) {
	for want, m := range map[string]proto.Message{
		`{"success":false,"findings":[],"created":false}`: &vitalspb.UploadVitalsResponse{},
		`{"records":[]}`: &vitalspb.ListVitalsResponse{},
		`{"latest":[{"values":[],"queried":false}]}`:                          &vitalspb.GetLatestVitalsResponse{Latest: []*vitalspb.LatestVital{{}}},
		`{"count":0,"subjects":0,"queried":0,"blood_pressure_categories":{}}`: &vitalspb.GetVitalsSummaryResponse{},
		`{"count":0,"subjects":0,"queried":0,"questionnaires":{}}`:            &epropb.GetReportsSummaryResponse{},
		`{"count":0,"subjects":0,"queried":0,"ongoing":0}`:                    &medicationpb.GetMedicationsSummaryResponse{},
		`{"count":0,"withdrawn":0,"sites":0,"subjects_per_site":{}}`:          &subjectpb.GetSubjectsSummaryResponse{},
		`{"project":{"project_id":"trial"},"created":false}`:                  &subjectpb.CreateProjectResponse{Project: &subjectpb.Project{ProjectId: "trial"}},
		`{"fields":[]}`: &recordpb.Finding{},
		`{"temperature":{"value":37.2,"unit":"CELSIUS","value_entered":"37.2","canonical_celsius":"37.20"},"findings":[]}`: &vitalspb.VitalsRecord{Temperature: canonical(&vitalspb.Temperature{Value: 37.2, ValueEntered: "37.2"}, "canonical_celsius", "37.20")},
	} {
		if got := string(wire.Encode(m)); got != want {
			t.Errorf("%s is\n%s, want\n%s", m.ProtoReflect().Descriptor().FullName(), got, want)
		}
	}
	if got := string(wire.Encode(&dicompb.Image{})); !strings.Contains(got, `"size":0`) || !strings.Contains(got, `"findings":[]`) {
		t.Errorf("an image is %s", got)
	}
}

// canonical sets a text field by its name.
func canonical[M proto.Message](m M, field protoreflect.Name, text string) M {
	m.ProtoReflect().Set(m.ProtoReflect().Descriptor().Fields().ByName(field), protoreflect.ValueOfString(text))
	return m
}
