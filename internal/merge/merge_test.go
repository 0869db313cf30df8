package merge_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"clinsource/internal/merge"
	"clinsource/internal/sourcevalue"
	"clinsource/internal/wirejson"
	medicationpb "clinsource/proto/medication"
	vitalspb "clinsource/proto/vitals"
)

// decoded reads a body as the gateway does.
func decoded[M proto.Message](t *testing.T, body string, into M) M {
	t.Helper()
	if bad := wirejson.Decode([]byte(body), into); bad != nil {
		t.Fatalf("%s: %v", body, bad)
	}
	if bad := sourcevalue.Complete(into); bad != nil {
		t.Fatalf("%s: %v", body, bad)
	}
	return into
}

const vitals = `{"patient_id":"p1","measurement_time":"2026-06-01T08:30:00+02:00","blood_pressure":{"systolic":128.5,"diastolic":82},
"temperature":{"value":98.60,"unit":"FAHRENHEIT"},"heart_rate":{"beats_per_minute":64},"client_record_id":"c1"}`

// A JSON merge patch: what is given replaces, null removes, the rest stays; what
// says one thing goes together.
func TestPatches(t *testing.T) {
	for patch, want := range map[string]string{
		`{"base_version":1,"reason":"misread"}`: vitals,
		`{"blood_pressure":{"systolic":118}}`: `{"patient_id":"p1","measurement_time":"2026-06-01T08:30:00+02:00","blood_pressure":{"systolic":118,"diastolic":82},
"temperature":{"value":98.60,"unit":"FAHRENHEIT"},"heart_rate":{"beats_per_minute":64},"client_record_id":"c1"}`,
		`{"temperature":{"value":99.1},"heart_rate":null}`: `{"patient_id":"p1","measurement_time":"2026-06-01T08:30:00+02:00","blood_pressure":{"systolic":128.5,"diastolic":82},
"temperature":{"value":99.1,"unit":"FAHRENHEIT"},"client_record_id":"c1"}`,
		`{"source_time_text":"2026-06-01T09:30:00+03:00","body_weight":{"value":70,"unit":"KILOGRAM"}}`: `{"patient_id":"p1","measurement_time":"2026-06-01T09:30:00+03:00",
"blood_pressure":{"systolic":128.5,"diastolic":82},"temperature":{"value":98.60,"unit":"FAHRENHEIT"},"heart_rate":{"beats_per_minute":64},
"body_weight":{"value":70,"unit":"KILOGRAM"},"client_record_id":"c1"}`,
		`{"blood_pressure":{"diastolic_entered":"80.5"}}`: `{"patient_id":"p1","measurement_time":"2026-06-01T08:30:00+02:00","blood_pressure":{"systolic":128.5,"diastolic":80.5},
"temperature":{"value":98.60,"unit":"FAHRENHEIT"},"heart_rate":{"beats_per_minute":64},"client_record_id":"c1"}`,
	} {
		content := decoded(t, vitals, &vitalspb.UploadVitalsRequest{})
		correction := decoded(t, patch, &vitalspb.AmendVitalsRequest{})
		paths := merge.Paths([]byte(patch), correction)
		if len(paths) > 0 {
			if bad := merge.Apply(content, correction, paths); bad != nil {
				t.Errorf("%s is refused: %v", patch, bad)
			}
		}
		if bad := sourcevalue.Complete(content); bad != nil {
			t.Errorf("%s leaves what contradicts itself: %v", patch, bad)
		}
		if wanted := decoded(t, want, &vitalspb.UploadVitalsRequest{}); !proto.Equal(content, wanted) {
			t.Errorf("%s makes\n\t%v, want\n\t%v", patch, content, wanted)
		}
	}
}

// A code, its system and its words are one value.
func TestACodeIsReplacedWhole(t *testing.T) {
	content := decoded(t, `{"medication":{"system":"urn:x","code":"a","display":"A"},"dose":{"value":1,"ucum_unit":"mg"}}`, &medicationpb.RecordMedicationRequest{})
	const patch = `{"medication":{"system":"urn:x","code":"b"},"dose":{"value":0.50}}`
	correction := decoded(t, patch, &medicationpb.AmendMedicationRequest{})
	paths := merge.Paths([]byte(patch), correction)
	if want := []string{"dose.value", "medication"}; !slices.Equal(paths, want) {
		t.Errorf("the paths are %q", paths)
	}
	if bad := merge.Apply(content, correction, paths); bad != nil {
		t.Fatal(bad)
	}
	if m := content.GetMedication(); m.GetCode() != "b" || m.GetDisplay() != "" || content.GetDose().GetUcumUnit() != "mg" || content.GetDose().GetValueEntered() != "0.50" {
		t.Errorf("the record is %v", content)
	}
	if bad := merge.Apply(content, correction, []string{"medication.code"}); len(bad) != 1 {
		t.Errorf("a part of a code is refused by %v", bad)
	}
}

func TestPathsThatAreNone(t *testing.T) {
	for _, path := range []string{"", "weather", "patient_id", "project_id", "client_record_id", "record_id", "reason", "base_version", "update_mask",
		"heart_rate.weather", "heart_rate.", ".heart_rate", "measurement_time.seconds", "source_time_text.x"} {
		content := decoded(t, vitals, &vitalspb.UploadVitalsRequest{})
		bad := merge.Apply(content, &vitalspb.AmendVitalsRequest{PatientId: "p2", ProjectId: "q"}, []string{path})
		if len(bad) != 1 || bad[0].Field != "update_mask" || content.GetPatientId() != "p1" {
			t.Errorf("%q is refused by %v", path, bad)
		}
	}
}

// Without any path, what the correction has is meant, and nothing is removed.
func TestWithoutPaths(t *testing.T) {
	content := decoded(t, vitals, &vitalspb.UploadVitalsRequest{})
	correction := &vitalspb.AmendVitalsRequest{PatientId: "p2", ProjectId: "q", Reason: "r", HeartRate: &vitalspb.HeartRate{BeatsPerMinute: 70}}
	if bad := merge.Apply(content, correction, nil); bad != nil {
		t.Fatal(bad)
	}
	if content.GetPatientId() != "p1" || content.GetHeartRate().GetBeatsPerMinute() != 70 || content.GetTemperature() == nil {
		t.Errorf("the record is %v", content)
	}
	correction.HeartRate.BeatsPerMinute = 80
	if content.GetHeartRate().GetBeatsPerMinute() != 70 {
		t.Error("record and correction share memory")
	}
	before := decoded(t, vitals, &vitalspb.UploadVitalsRequest{})
	if got := merge.Changed(before, content); !slices.Equal(got, []string{"heart_rate"}) {
		t.Errorf("changed is %q", got)
	}
}
