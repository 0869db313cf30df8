package contract_test

import (
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// countsNotMeasurements are the number fields that nobody measured: the suite
// counts them itself, so there is no text that somebody entered.
var countsNotMeasurements = []struct {
	field *regexp.Regexp
	why   string
}{
	{regexp.MustCompile(`\.page_size$`), "how many the caller wants"},
	{regexp.MustCompile(`^access\.TakeEmergencyAccessRequest\.minutes$`), "how long the caller wants it"},
	{regexp.MustCompile(`\.(base_)?version$`), "the suite numbers versions"},
	{regexp.MustCompile(`^dicom\.\w+\.(size|offset)$`), "bytes, counted by both sides"},
	{regexp.MustCompile(`^audit\.\w+\.(lane|index|records|count)$`), "places and counts of the log, which the suite makes"},
	{regexp.MustCompile(`SummaryResponse\.\w+$`), "counts of records, subjects, sites, bytes"},
}

// unitless are entered numbers that have no unit of their own.
var unitless = map[protoreflect.FullName]string{
	"epro.Answer.integer_value": "the questionnaire's item gives it its meaning",
	"epro.Answer.decimal_value": "the questionnaire's item gives it its meaning",
}

// neverRounded are entered numbers whose typed form always equals the text.
var neverRounded = map[protoreflect.FullName]string{
	"epro.Answer.integer_value": "a decimal is refused there",
}

// unitInWords finds a unit in a field's name or at the start of its comment.
var unitInWords = regexp.MustCompile(`_per_minute |^percent |mmHg`)

// Beside each number that somebody measured stands what they entered, as text,
// a mark for when the two differ, and the unit.
func TestNumbersKeepWhatWasEntered(t *testing.T) {
	for _, file := range sources(t) {
		for _, m := range messagesIn(file) {
			for f := range each(m.Fields()) {
				if isNumber(f) && !isCount(f) {
					holdsEntered(t, m.Fields(), f)
				}
			}
		}
	}
}

func holdsEntered(t *testing.T, siblings protoreflect.FieldDescriptors, f protoreflect.FieldDescriptor) {
	t.Helper()
	entered := siblings.ByName(f.Name() + "_entered")
	if entered == nil || entered.Kind() != protoreflect.StringKind {
		t.Errorf("%s: no string %s_entered beside it for the decimal text as it came; if nobody enters this number, add it to countsNotMeasurements with the reason", f.FullName(), f.Name())
	}
	rounded := siblings.ByName(f.Name() + "_rounded")
	if neverRounded[f.FullName()] == "" && (rounded == nil || rounded.Kind() != protoreflect.BoolKind) {
		t.Errorf("%s: no bool %s_rounded beside it, to say when the number is not the text", f.FullName(), f.Name())
	}
	unit := siblings.ByName("unit") != nil || siblings.ByName("ucum_unit") != nil
	if !unit && unitless[f.FullName()] == "" && !unitInWords.MatchString(string(f.Name())+" "+comment(f)) {
		t.Errorf("%s: no unit: put it into the name (…_per_minute), the comment (mmHg), or a field unit beside it", f.FullName())
	}
}

func isNumber(f protoreflect.FieldDescriptor) bool {
	switch f.Kind() {
	case protoreflect.BoolKind, protoreflect.StringKind, protoreflect.BytesKind,
		protoreflect.EnumKind, protoreflect.MessageKind, protoreflect.GroupKind:
		return false
	}
	return true
}

func isCount(f protoreflect.FieldDescriptor) bool {
	for _, c := range countsNotMeasurements {
		if c.field.MatchString(string(f.FullName())) {
			return true
		}
	}
	return false
}

// A time that a caller sends has its text beside it, with the offset that a
// Timestamp loses.
func TestTimesKeepTheirText(t *testing.T) {
	for _, file := range sources(t) {
		for _, rpc := range methodsIn(file) {
			fields := rpc.Input().Fields()
			for f := range each(fields) {
				if f.Message() == nil || f.Message().FullName() != "google.protobuf.Timestamp" {
					continue
				}
				if f.Parent().FullName() == "audit.ListAuditRequest" {
					continue // It filters by the server's clock; nothing of it is stored.
				}
				if fields.ByName("source_time_text") == nil && fields.ByName(f.Name()+"_text") == nil {
					t.Errorf("%s: no source_time_text or %s_text beside it for the time as it came, with its offset", f.FullName(), f.Name())
				}
			}
		}
	}
}

// Every record a caller creates says whether it was there already, and every
// stored one can be named: the same fields in every service.
func TestRecordsHaveTheSameFields(t *testing.T) {
	stored := []protoreflect.Name{"record_id", "version", "findings", "project_id", "site_id", "patient_id", "client_record_id", "received_time"}
	answered := []protoreflect.Name{"record_id", "version", "findings", "created"}
	for message, names := range map[protoreflect.FullName][]protoreflect.Name{
		"vitals.VitalsRecord": stored, "vitals.UploadVitalsResponse": answered,
		"dicom.Image": stored, "dicom.UploadDicomResponse": answered,
		"epro.Report": stored, "epro.SubmitReportResponse": answered,
		"medication.Medication": stored, "medication.RecordMedicationResponse": answered,
	} {
		fields := messageNamed(t, message).Fields()
		for _, name := range names {
			if fields.ByName(name) == nil {
				t.Errorf("%s has no %s; the records of the other services do", message, name)
			}
		}
	}
}

func messageNamed(t *testing.T, name protoreflect.FullName) protoreflect.MessageDescriptor {
	t.Helper()
	for _, file := range ours {
		if m := file.Messages().ByName(name.Name()); m != nil && m.FullName() == name {
			return m
		}
	}
	t.Fatalf("no message %s in proto/", name)
	return nil
}

// The rules above, on a contract that breaks each once.
func TestRulesSeeNumbers(t *testing.T) {
	fields := inline(t, `syntax = "proto3"; package dicom;
message M { int32 page_size = 1; uint64 size = 2; double dose = 3; bool ok = 4; sint64 delta = 5; string s = 6; }`).Messages().Get(0).Fields()
	var asked []string
	for f := range each(fields) {
		if isNumber(f) && !isCount(f) {
			asked = append(asked, string(f.Name()))
		}
	}
	if got := strings.Join(asked, " "); got != "dose delta" {
		t.Errorf("asked for entered text beside %q, want dose and delta", got)
	}
}
