package logic_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/fault"
	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/svc"
)

const validTime = `"measurement_time":"2026-03-01T08:30:00Z"`

// refusedBodies are bodies and all that is wrong with them.
var refusedBodies = map[string]struct{ body, want string }{
	"nothing": {`{}`, "blood_pressure record.empty\nbody_weight record.empty\nheart_rate record.empty\nmeasurement_time time.missing\n" +
		"oxygen_saturation record.empty\npatient_id identifier.required\nrespiratory_rate record.empty\ntemperature record.empty"},
	"identifiers": {`{"patient_id":"a b","project_id":"/","client_record_id":"..",` + validTime + `,"heart_rate":{"beats_per_minute":70}}`,
		"client_record_id identifier.malformed\npatient_id identifier.malformed\nproject_id identifier.malformed"},
	"time text": {`{"patient_id":"p1","source_time_text":"yesterday","heart_rate":{"beats_per_minute":70}}`,
		"source_time_text time.malformed"},
	"times disagree": {`{"patient_id":"p1","source_time_text":"2026-03-01T08:30:00+01:00",` + validTime + `,"heart_rate":{"beats_per_minute":70}}`,
		"measurement_time time.disagrees"},
	"unset clock": {`{"patient_id":"p1","measurement_time":"1970-01-01T00:00:00Z","heart_rate":{"beats_per_minute":70}}`,
		"measurement_time time.zero"},
	"cross-field": {`{"patient_id":"p1",` + validTime + `,"blood_pressure":{"systolic":80,"diastolic":120}}`,
		"blood_pressure.diastolic bp.sys_le_dia\nblood_pressure.systolic bp.sys_le_dia"},
	"equal pressures": {`{"patient_id":"p1",` + validTime + `,"blood_pressure":{"systolic":90,"diastolic":90}}`,
		"blood_pressure.diastolic bp.sys_le_dia\nblood_pressure.systolic bp.sys_le_dia"},
	"half a blood pressure": {`{"patient_id":"p1",` + validTime + `,"blood_pressure":{"systolic":120}}`,
		"blood_pressure.diastolic value.missing"},
	"Fahrenheit as Celsius": {`{"patient_id":"p1",` + validTime + `,"temperature":{"value":98.6,"unit":"CELSIUS"}}`,
		"temperature.unit temp.unit_suspect\ntemperature.value temp.unit_suspect"},
	"weight without its unit": {`{"patient_id":"p1",` + validTime + `,"body_weight":{"value":70}}`,
		"body_weight.unit unit.unknown"},
	"a fraction for a percentage": {`{"patient_id":"p1",` + validTime + `,"oxygen_saturation":{"percent":0.97}}`,
		"oxygen_saturation.percent spo2.unit_suspect"},
	"X and its text": {`{"patient_id":"p1",` + validTime + `,"blood_pressure":{"systolic":121,"systolic_entered":"120","diastolic":80},` +
		`"heart_rate":{"beats_per_minute_entered":"7O"},"temperature":{"value":37,"value_entered":"37.2"},"respiratory_rate":{"breaths_per_minute_entered":"1e20"}}`,
		"blood_pressure.systolic value.disagrees\nheart_rate.beats_per_minute_entered value.malformed\n" +
			"respiratory_rate.breaths_per_minute value.out_of_type\ntemperature.value value.disagrees"},
	"everything": {`{"patient_id":"","blood_pressure":{"systolic":400,"diastolic":5},"temperature":{"value":60},"heart_rate":{"beats_per_minute":5},` +
		`"respiratory_rate":{"breaths_per_minute":400},"oxygen_saturation":{"percent":101},"body_weight":{"value":900,"unit":"KILOGRAM"}}`,
		"blood_pressure.diastolic bp.unit_suspect\nblood_pressure.systolic blood_pressure.systolic.range\n" +
			"body_weight.unit weight.unit_suspect\nbody_weight.value weight.unit_suspect\n" +
			"heart_rate.beats_per_minute heart_rate.beats_per_minute.range\nmeasurement_time time.missing\n" +
			"oxygen_saturation.percent oxygen_saturation.percent.range\npatient_id identifier.required\n" +
			"respiratory_rate.breaths_per_minute respiratory_rate.breaths_per_minute.range\n" +
			"temperature.value temperature.value.range"},
}

func TestUploadNamesEveryOffendingField(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		for name, c := range refusedBodies {
			_, err := try(t, s, ofJSON(t, c.body))
			wantFault(t, err, codes.InvalidArgument, fault.ReasonFieldInvalid)
			if got := fields(err); got != c.want {
				t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
			}
		}
		if got := audited(t, s); got != nil {
			t.Errorf("something was written: %q", got)
		}
	})
}

// No text of a refusal repeats what was sent.
func TestRefusalsTellNoValue(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		_, err := try(t, s, ofJSON(t, `{"patient_id":"se cret",`+validTime+`,"blood_pressure":{"systolic":417,"diastolic":418},"temperature":{"value":61.7}}`))
		f := fault.From(err)
		texts := f.Message
		for _, v := range f.Violations {
			texts += "\n" + v.Message
		}
		for _, value := range []string{"417", "418", "61.7", "cret"} {
			if strings.Contains(texts, value) {
				t.Errorf("a text repeats %s:\n%s", value, texts)
			}
		}
	})
}

// What JSON cannot say, a gRPC caller can.
func TestRefusedOverGRPCOnly(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		for name, c := range map[string]struct {
			change func(*vitalspb.UploadVitalsRequest)
			want   string
		}{
			"not finite": {func(in *vitalspb.UploadVitalsRequest) {
				in.Temperature = &vitalspb.Temperature{Value: nan}
				in.OxygenSaturation = &vitalspb.OxygenSaturation{Percent: inf, PercentEntered: "98"}
				in.BodyWeight = &vitalspb.BodyWeight{Value: -inf, Unit: vitalspb.WeightUnit_KILOGRAM}
			}, "body_weight.value value.not_finite\noxygen_saturation.percent value.not_finite\ntemperature.value value.not_finite"},
			"not finite as text": {func(in *vitalspb.UploadVitalsRequest) {
				in.Temperature = &vitalspb.Temperature{ValueEntered: "NaN"}
				in.BodyWeight = &vitalspb.BodyWeight{ValueEntered: "Infinity", Unit: vitalspb.WeightUnit_KILOGRAM}
			}, "body_weight.value_entered value.malformed\ntemperature.value_entered value.malformed"},
			"unknown units": {func(in *vitalspb.UploadVitalsRequest) {
				in.Temperature = &vitalspb.Temperature{Value: 37, Unit: 7}
				in.BodyWeight = &vitalspb.BodyWeight{Value: 70, Unit: -1}
			}, "body_weight.unit unit.unknown\ntemperature.unit unit.unknown"},
			"future": {func(in *vitalspb.UploadVitalsRequest) {
				in.MeasurementTime = timestamppb.New(time.Now().Add(6 * time.Minute))
			}, "measurement_time time.future"},
			"before clocks": {func(in *vitalspb.UploadVitalsRequest) {
				in.MeasurementTime = timestamppb.New(time.Date(1899, 12, 31, 0, 0, 0, 0, time.UTC))
			}, "measurement_time time.zero"},
			"no instant": {func(in *vitalspb.UploadVitalsRequest) {
				in.MeasurementTime = &timestamppb.Timestamp{Seconds: measured.Unix(), Nanos: -1}
			}, "measurement_time time.invalid"},
			"no year": {func(in *vitalspb.UploadVitalsRequest) {
				in.MeasurementTime = &timestamppb.Timestamp{Seconds: math.MaxInt64}
			}, "measurement_time time.invalid"},
		} {
			_, err := try(t, s, request(c.change))
			wantFault(t, err, codes.InvalidArgument, fault.ReasonFieldInvalid)
			if got := fields(err); got != c.want {
				t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
			}
		}
		if got := audited(t, s); got != nil {
			t.Errorf("something was written: %q", got)
		}
	})
}
