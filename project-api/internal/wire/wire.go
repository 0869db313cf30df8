// Package wire is the gateway's JSON: the messages of the protos, by
// internal/wirejson, with the choices of this API. Fields that only the server
// fills are refused in requests; lists, counts and outcomes are always there in
// answers, empty or zero.
package wire

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"clinsource/internal/fault"
	"clinsource/internal/merge"
	"clinsource/internal/sourcevalue"
	"clinsource/internal/wirejson"
	auditpb "clinsource/proto/audit"
	dicompb "clinsource/proto/dicom"
	epropb "clinsource/proto/epro"
	medicationpb "clinsource/proto/medication"
	recordpb "clinsource/proto/record"
	subjectpb "clinsource/proto/subject"
	vitalspb "clinsource/proto/vitals"
)

// updateMask is the field that names what a correction is about: over HTTP the body
// says that by itself.
const updateMask = "update_mask"

// Derived says whether only the server fills the field: what it converted
// (canonical_celsius), whether it rounded (systolic_rounded), and what a
// correction is about.
func Derived(fd protoreflect.FieldDescriptor) bool {
	name := string(fd.Name())
	return strings.HasPrefix(name, "canonical_") || strings.HasSuffix(name, "_rounded") || name == updateMask
}

var decoder = wirejson.Decoder{Deny: Derived}

// Decode reads a request's JSON body into the message and completes its entered
// values and times.
func Decode(body []byte, into proto.Message) error {
	violations := decoder.Decode(body, into)
	if len(violations) == 0 {
		violations = sourcevalue.Complete(into)
	}
	if len(violations) == 0 {
		return nil
	}
	f := fault.InvalidFields(violations)
	if violations[len(violations)-1].Field == "body" { // What concerns the whole comes last.
		f.Reason = fault.ReasonBodyInvalid
	}
	return f
}

// DecodeCorrection is Decode for a correction: a JSON merge patch, in which null
// removes a field.
func DecodeCorrection(body []byte, into proto.Message) error {
	if err := Decode(body, into); err != nil {
		return err
	}
	m := into.ProtoReflect()
	mask := m.Mutable(m.Descriptor().Fields().ByName(updateMask)).List()
	for _, path := range merge.Paths(body, into) {
		mask.Append(protoreflect.ValueOfString(path))
	}
	return nil
}

// always are the scalar fields that an answer shows even when zero.
var always = map[protoreflect.Name]bool{
	"success": true, "created": true, "queried": true, "count": true, "subjects": true, "withdrawn": true,
	"sites": true, "ongoing": true, "size": true, "current": true,
}

var encoder = wirejson.Encoder{Always: shown(
	recordpb.File_proto_record_record_proto, vitalspb.File_proto_vitals_vitals_proto, dicompb.File_proto_dicom_dicom_proto,
	epropb.File_proto_epro_epro_proto, medicationpb.File_proto_medication_medication_proto, subjectpb.File_proto_subject_subject_proto, auditpb.File_proto_audit_audit_proto,
)}

// Encode writes an answer.
func Encode(m proto.Message) []byte { return encoder.Encode(m) }

func shown(files ...protoreflect.FileDescriptor) map[protoreflect.FullName]bool {
	names := map[protoreflect.FullName]bool{}
	for _, file := range files {
		for i := range file.Messages().Len() {
			fields := file.Messages().Get(i).Fields()
			for j := range fields.Len() {
				if fd := fields.Get(j); fd.IsList() || fd.IsMap() || always[fd.Name()] {
					names[fd.FullName()] = true
				}
			}
		}
	}
	return names
}
