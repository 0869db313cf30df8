package openapi

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"clinsource/internal/fault"
	"clinsource/internal/sourcevalue"
	"clinsource/internal/wirejson"
	"clinsource/project-api/internal/wire"
	accesspb "clinsource/proto/access"
	auditpb "clinsource/proto/audit"
	dicompb "clinsource/proto/dicom"
	epropb "clinsource/proto/epro"
	medicationpb "clinsource/proto/medication"
	recordpb "clinsource/proto/record"
	subjectpb "clinsource/proto/subject"
	vitalspb "clinsource/proto/vitals"
)

// messages are those that the contract has a schema for, by its name.
func messages(t *testing.T, c *Contract) map[string]proto.Message {
	t.Helper()
	schemas := c.document["components"].(object)["schemas"].(object)
	found := map[string]proto.Message{}
	for _, file := range []protoreflect.FileDescriptor{
		recordpb.File_proto_record_record_proto, vitalspb.File_proto_vitals_vitals_proto, dicompb.File_proto_dicom_dicom_proto,
		epropb.File_proto_epro_epro_proto, medicationpb.File_proto_medication_medication_proto, subjectpb.File_proto_subject_subject_proto,
		accesspb.File_proto_access_access_proto, auditpb.File_proto_audit_audit_proto,
	} {
		for i := range file.Messages().Len() {
			m := file.Messages().Get(i)
			if schemas[string(m.Name())] == nil {
				continue
			}
			mt, err := protoregistry.GlobalTypes.FindMessageByName(m.FullName())
			if err != nil {
				t.Fatal(err)
			}
			found[string(m.Name())] = mt.New().Interface()
		}
	}
	if len(found) < 35 {
		t.Fatalf("saw %d messages only", len(found))
	}
	return found
}

// fill sets every field of a message to something that it may hold.
func fill(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		switch {
		case fd.IsMap():
			m.Mutable(fd).Map().Set(protoreflect.ValueOfString("key").MapKey(), plausible(fd.MapValue(), nil))
		case fd.IsList():
			list := m.Mutable(fd).List()
			list.Append(plausible(fd, list.NewElement))
		default:
			m.Set(fd, plausible(fd, func() protoreflect.Value { return m.NewField(fd) }))
		}
	}
	for i := range fields.Len() { // The text of a choice that was not made says another.
		fd := fields.Get(i)
		if text := sourcevalue.EnteredOf(fd); text != nil && fd.ContainingOneof() != nil && !m.Has(fd) {
			m.Clear(text)
		}
	}
}

func plausible(fd protoreflect.FieldDescriptor, empty func() protoreflect.Value) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(fd.Enum().Values().Get(fd.Enum().Values().Len() - 1).Number())
	case protoreflect.StringKind:
		if strings.HasSuffix(string(fd.Name()), "_text") {
			return protoreflect.ValueOfString("1970-01-01T02:00:07+02:00")
		}
		return protoreflect.ValueOfString("7")
	case protoreflect.MessageKind:
		v := empty()
		if sourcevalue.IsTimestamp(fd) {
			v.Message().Set(v.Message().Descriptor().Fields().ByName("seconds"), protoreflect.ValueOfInt64(7))
			return v
		}
		fill(v.Message())
		return v
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(7)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(7)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(7)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(7)
	default:
		return protoreflect.ValueOfInt64(7)
	}
}

// valid says whether a body is valid by the schema of this name.
func valid(t *testing.T, c *Contract, name string, body []byte) error {
	t.Helper()
	schema, err := c.schema("components", "schemas", name)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// What the gateway's encoder writes is valid, of the emptiest and the fullest
// message, and says all that the contract promises.
func TestAnswersAreValid(t *testing.T) {
	c := shipped(t)
	for name, m := range messages(t, c) {
		if strings.HasSuffix(name, "Request") {
			continue
		}
		if err := valid(t, c, name, wire.Encode(m)); err != nil {
			t.Errorf("%s, empty: %v", name, err)
		}
		full := proto.Clone(m)
		fill(full.ProtoReflect())
		if err := valid(t, c, name, wire.Encode(full)); err != nil {
			t.Errorf("%s, full: %v", name, err)
		}
	}
}

// The fullest request that a caller may send is valid and is taken: the contract
// hides no field that the gateway takes, and offers none that it refuses.
func TestFullRequestsAreTaken(t *testing.T) {
	c := shipped(t)
	n := 0
	for name, m := range messages(t, c) {
		if !strings.HasSuffix(name, "Request") {
			continue
		}
		n++
		full := proto.Clone(m)
		fill(full.ProtoReflect())
		dropDerived(full.ProtoReflect())
		body := wirejson.Encode(full)
		if err := valid(t, c, name, body); err != nil {
			t.Errorf("%s: %v\n%s", name, err, body)
		}
		if err := wire.Decode(body, proto.Clone(m)); err != nil {
			t.Errorf("%s: the gateway refuses what the contract offers: %v", name, err)
		}
	}
	if n < 7 {
		t.Errorf("saw %d requests only", n)
	}
}

// dropDerived removes what only the server fills.
func dropDerived(m protoreflect.Message) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case wire.Derived(fd):
			m.Clear(fd)
		case fd.IsList() && fd.Message() != nil:
			for i := range v.List().Len() {
				dropDerived(v.List().Get(i).Message())
			}
		case fd.Message() != nil && !fd.IsMap():
			dropDerived(v.Message())
		}
		return true
	})
}

// Why the contract and the decoder may differ on a body.
const (
	agree   = ""
	byRule  = "the service's rules refuse it, which the schema says already"
	byRange = "no schema says it: the decoder compares or converts"
	lenient = "null is taken for a field left out; the contract says so in words"
)

func TestRequestsAgree(t *testing.T) {
	c := shipped(t)
	for _, r := range []struct {
		schema, body  string
		valid, taken  bool
		whyTheyDiffer string
	}{
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00+02:00","heart_rate":{"beats_per_minute":64}}`, true, true, agree},
		{"UploadVitalsRequest", `{"source_time_text":"2026-06-01T08:30:00+02:00","heart_rate":{"beats_per_minute_entered":"64.0"}}`, true, true, agree},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","blood_pressure":{"systolic":128.5,"diastolic":8.2e1}}`, true, true, agree},
		{"UploadVitalsRequest", `{"patient_id":"a","project_id":"b","measurement_time":"2026-06-01T08:30:00.123456789Z","temperature":{"value":98.6,"unit":"FAHRENHEIT"}}`, true, true, agree},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","temperature":{"value":37}}`, true, true, agree}, // CELSIUS.
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","heartrate":{}}`, false, false, agree},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","heartRate":{"beats_per_minute":64}}`, false, false, agree},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01 08:30:00"}`, false, false, agree},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00"}`, false, false, agree},
		{"UploadVitalsRequest", `{"measurement_time":"2026-02-30T08:30:00Z"}`, false, false, agree},
		{"UploadVitalsRequest", `{"measurement_time":1780000000}`, false, false, agree},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","heart_rate":{"beats_per_minute":"64"}}`, false, false, agree},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","heart_rate":64}`, false, false, agree},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","heart_rate":{"beats_per_minute_entered":"064"}}`, false, false, agree},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","heart_rate":{"beats_per_minute":64,"beats_per_minute_rounded":true}}`, false, false, agree},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","temperature":{"value":37,"canonical_celsius":"37.00"}}`, false, false, agree},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","temperature":{"value":37,"unit":"KELVIN"}}`, false, false, agree},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","temperature":{"value":37,"unit":0}}`, false, false, agree},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","body_weight":{"value":70,"unit":"WEIGHT_UNIT_UNSPECIFIED"}}`, false, true, byRule},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","body_weight":{"value":70}}`, false, true, byRule},
		{"UploadVitalsRequest", `{"heart_rate":{"beats_per_minute":64}}`, false, true, byRule},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","client_record_id":"a b"}`, false, true, byRule},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","temperature":null}`, false, true, lenient},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","source_time_text":"2026-06-01T08:30:00+02:00"}`, true, false, byRange},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","heart_rate":{"beats_per_minute":64,"beats_per_minute_entered":"65"}}`, true, false, byRange},
		{"UploadVitalsRequest", `{"measurement_time":"2026-06-01T08:30:00Z","heart_rate":{"beats_per_minute":1e12}}`, true, false, byRange},
		{"SubmitReportRequest", `{"questionnaire_id":"q","questionnaire_version":"1","authored_time":"2026-06-01T08:30:00Z","answers":[{"link_id":"a","boolean_value":false}]}`, true, true, agree},
		{"SubmitReportRequest", `{"questionnaire_id":"q","questionnaire_version":"1","authored_time":"2026-06-01T08:30:00Z","answers":[{"link_id":"a","integer_value_entered":"3"}]}`, true, true, agree},
		{"SubmitReportRequest", `{"questionnaire_id":"q","questionnaire_version":"1","authored_time":"2026-06-01T08:30:00Z","answers":[{"link_id":"a","boolean_value":true,"text_value":"t"}]}`, false, false, agree},
		{"SubmitReportRequest", `{"questionnaire_id":"q","questionnaire_version":"1","authored_time":"2026-06-01T08:30:00Z","answers":[{"link_id":"a","boolean_value":true,"decimal_value_entered":"1"}]}`, false, false, agree},
		{"SubmitReportRequest", `{"questionnaire_id":"q","questionnaire_version":"1","authored_time":"2026-06-01T08:30:00Z","answers":[{"link_id":"a"}]}`, false, true, byRule},
		{"SubmitReportRequest", `{"questionnaire_id":"q","questionnaire_version":"1","authored_time":"2026-06-01T08:30:00Z","answers":[{"link_id":"a","integer_value":1.5}]}`, false, true, byRule},
		{"SubmitReportRequest", `{"questionnaire_id":"q","questionnaire_version":"1","authored_time":"2026-06-01T08:30:00Z","answers":[]}`, false, true, byRule},
		{"SubmitReportRequest", `{"questionnaire_id":"q","questionnaire_version":"1","authored_time":"2026-06-01T08:30:00Z","answers":{}}`, false, false, agree},
		{"RecordMedicationRequest", `{"medication":{"system":"s:1","code":"c"},"dose":{"value":1,"ucum_unit":"mg"},"route":{"system":"s:1","code":"c"},"start_time_text":"2026-06-01T08:30:00Z"}`, true, true, agree},
		{"RecordMedicationRequest", `{"medication":{"system":"s:1","code":"c"},"dose":{"value":1},"route":{"system":"s:1","code":"c"},"start_time":"2026-06-01T08:30:00Z"}`, false, true, byRule},
		{"RecordMedicationRequest", `{"medication":"aspirin","dose":{"value":1,"ucum_unit":"mg"},"route":{"system":"s:1","code":"c"},"start_time":"2026-06-01T08:30:00Z"}`, false, false, agree},
		{"CreateProjectRequest", `{"project_id":"p","title":"T"}`, true, true, agree},
		{"CreateProjectRequest", `{"project_id":7}`, false, false, agree},
		{"CreateProjectRequest", `[]`, false, false, agree},
		{"CreateSubjectRequest", `{"patient_id":"p"}`, false, true, byRule},
		{"CreateSubjectRequest", `{"patient_id":"p","site_id":"s","state":"ENROLLED"}`, false, false, agree},
		{"WithdrawSubjectRequest", `{"source_time_text":"2026-06-20T14:00:00+02:00"}`, true, true, agree},
		{"WithdrawSubjectRequest", `{}`, false, true, byRule},
	} {
		schemaErr := valid(t, c, r.schema, []byte(r.body))
		decodeErr := wire.Decode([]byte(r.body), proto.Clone(messages(t, c)[r.schema]))
		if (schemaErr == nil) != r.valid {
			t.Errorf("%s %s: the schema says %v", r.schema, r.body, schemaErr)
		}
		if (decodeErr == nil) != r.taken {
			t.Errorf("%s %s: the decoder says %v", r.schema, r.body, decodeErr)
		}
		var f *fault.Error
		if decodeErr != nil && !errors.As(decodeErr, &f) {
			t.Errorf("%s %s: %v is no fault", r.schema, r.body, decodeErr)
		}
		if (r.valid == r.taken) != (r.whyTheyDiffer == agree) {
			t.Errorf("%s %s: say why the two differ, or that they agree", r.schema, r.body)
		}
	}
}
