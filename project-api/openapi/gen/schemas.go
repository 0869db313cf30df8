package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"gopkg.in/yaml.v3"

	"clinsource/internal/fault"
	"clinsource/internal/merge"
	"clinsource/internal/sourcevalue"
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

var files = []protoreflect.FileDescriptor{
	recordpb.File_proto_record_record_proto, vitalspb.File_proto_vitals_vitals_proto, dicompb.File_proto_dicom_dicom_proto,
	epropb.File_proto_epro_epro_proto, medicationpb.File_proto_medication_medication_proto, subjectpb.File_proto_subject_subject_proto,
	accesspb.File_proto_access_access_proto, auditpb.File_proto_audit_audit_proto,
}

// schemas grows until every reference has its schema.
type schemas struct {
	words    comments
	bound    map[string][]string // What the path says already, by request.
	messages map[string]protoreflect.MessageDescriptor
	made     map[string]*yaml.Node
	wanted   []string
}

// addSchemas puts the schemas that the document refers to, and has not, into
// its components.
func addSchemas(components, document *yaml.Node, words comments, bound map[string][]string) error {
	s := &schemas{words: words, bound: bound, made: map[string]*yaml.Node{}}
	if err := s.index(); err != nil {
		return err
	}
	s.made["Reason"], s.made["Code"] = reasonSchema(), codeSchema()
	refs(document, s.want)
	for len(s.wanted) > 0 {
		name := s.wanted[0]
		s.wanted = s.wanted[1:]
		if s.made[name] != nil || child(components, name) != nil {
			continue
		}
		if m := s.messages[strings.TrimSuffix(name, patchSuffix)]; m != nil && strings.HasSuffix(name, patchSuffix) {
			s.made[name] = s.patch(m)
			continue
		}
		m, input := s.messages[strings.TrimSuffix(name, "Input")], strings.HasSuffix(name, "Input")
		if m == nil {
			return fmt.Errorf("the contract refers to a schema %s, which is neither in %s nor a message", name, templateFile)
		}
		if strings.HasSuffix(name, "Request") || input {
			s.made[name] = s.request(m, s.bound[name])
		} else {
			s.made[name] = s.answer(m)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.made)) {
		set(components, name, s.made[name])
	}
	return nil
}

func (s *schemas) want(name string) { s.wanted = append(s.wanted, name) }

// index finds messages by their short names, which the contract uses.
func (s *schemas) index() error {
	s.messages = map[string]protoreflect.MessageDescriptor{}
	for _, file := range files {
		for i := range file.Messages().Len() {
			m := file.Messages().Get(i)
			if other := s.messages[string(m.Name())]; other != nil {
				return fmt.Errorf("%s and %s would have one schema: rename one", m.FullName(), other.FullName())
			}
			s.messages[string(m.Name())] = m
		}
	}
	return nil
}

// answer is the schema of a message that the gateway sends.
func (s *schemas) answer(m protoreflect.MessageDescriptor) *yaml.Node {
	properties := node(pairs{})
	for _, fd := range byNumber(m) {
		set(properties, string(fd.Name()), s.field(fd, false))
	}
	schema := node(pairs{"description", s.words[m.FullName()], "type", "object"})
	if always := alwaysWritten(m); len(always) > 0 {
		set(schema, "required", always)
	}
	set(schema, "properties", properties)
	return schema
}

// alwaysWritten lists the fields that the encoder writes even of an empty
// message.
func alwaysWritten(m protoreflect.MessageDescriptor) []string {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(wire.Encode(empty(m)), &fields); err != nil {
		panic(fmt.Sprintf("gen: wire.Encode gives no JSON object for %s: %v", m.FullName(), err))
	}
	return slices.Sorted(maps.Keys(fields))
}

func empty(m protoreflect.MessageDescriptor) protoreflect.ProtoMessage {
	t, err := protoregistry.GlobalTypes.FindMessageByName(m.FullName())
	if err != nil {
		panic(err) // The six files are linked in.
	}
	return t.New().Interface()
}

// request is the schema of a message that the gateway takes.
func (s *schemas) request(m protoreflect.MessageDescriptor, bound []string) *yaml.Node {
	properties := node(pairs{})
	var required []string
	var either []*yaml.Node
	for _, fd := range byNumber(m) {
		name := string(fd.Name())
		if wire.Derived(fd) {
			continue
		}
		if slices.Contains(bound, name) {
			set(properties, name, pairs{"$ref", schemaPrefix + "Identifier", "description", "As in the path; leave it out."})
			continue
		}
		if isCorrection(m) && merge.IsContent(fd) {
			set(properties, name, s.patchField(fd))
			continue
		}
		set(properties, name, s.field(fd, true))
		if !isRequired.MatchString(s.words[fd.FullName()]) {
			continue
		}
		if text := textBeside(fd); text != "" {
			either = append(either, oneOf("anyOf", name, text))
		} else {
			required = append(required, name)
		}
	}
	either = append(either, choices(m)...)
	schema := node(pairs{"description", s.words[m.FullName()], "type", "object", "additionalProperties", false})
	if len(required) > 0 {
		set(schema, "required", required)
	}
	switch len(either) {
	case 0:
	case 1:
		schema.Content = append(schema.Content, either[0].Content...)
	default:
		set(schema, "allOf", either)
	}
	set(schema, "properties", properties)
	return schema
}

// patchSuffix ends the names of the messages inside a correction: nothing in them
// is required, and null removes.
const patchSuffix = "Patch"

// isCorrection says whether a message is the body of a PATCH.
func isCorrection(m protoreflect.MessageDescriptor) bool {
	return strings.HasPrefix(string(m.Name()), "Amend") && strings.HasSuffix(string(m.Name()), "Request")
}

// patch is the schema of a message inside a correction.
func (s *schemas) patch(m protoreflect.MessageDescriptor) *yaml.Node {
	properties := node(pairs{})
	for _, fd := range byNumber(m) {
		if !wire.Derived(fd) {
			set(properties, string(fd.Name()), s.patchField(fd))
		}
	}
	return node(pairs{"description", s.words[m.FullName()] + " What is left out stays.", "type", "object", "additionalProperties", false, "properties", properties})
}

// patchField is the schema of a field that a correction may give, or remove by
// null.
func (s *schemas) patchField(fd protoreflect.FieldDescriptor) *yaml.Node {
	var value *yaml.Node
	if merge.IsWhole(fd) {
		value = s.field(fd, true)
		remove(value, "description")
	} else {
		name := string(fd.Message().Name()) + patchSuffix
		s.want(name)
		value = node(ref(name))
	}
	return node(pairs{"description", s.words[fd.FullName()], "anyOf", []*yaml.Node{value, node(pairs{"type", "null"})}})
}

// isRequired reads the contracts' habit: "Required: ...", or "mmHg, required, ...".
var isRequired = regexp.MustCompile(`^Required\b|, required\b`)

// textBeside is the field that says the same as text, and may be given instead.
func textBeside(fd protoreflect.FieldDescriptor) string {
	for _, text := range []protoreflect.FieldDescriptor{sourcevalue.EnteredOf(fd), sourcevalue.TextOf(fd)} {
		if text != nil {
			return string(text.Name())
		}
	}
	return ""
}

// oneOf asks for one of several properties.
func oneOf(keyword string, names ...string) *yaml.Node {
	var list []*yaml.Node
	for _, name := range names {
		list = append(list, node(pairs{"required", []string{name}}))
	}
	return node(pairs{keyword, list})
}

// choices asks for exactly one member of each oneof.
func choices(m protoreflect.MessageDescriptor) []*yaml.Node {
	var all []*yaml.Node
	for i := range m.Oneofs().Len() {
		oneof := m.Oneofs().Get(i)
		if oneof.IsSynthetic() {
			continue
		}
		var members []*yaml.Node
		for j := range oneof.Fields().Len() {
			fd := oneof.Fields().Get(j)
			if text := textBeside(fd); text != "" {
				members = append(members, oneOf("anyOf", string(fd.Name()), text))
			} else {
				members = append(members, node(pairs{"required", []string{string(fd.Name())}}))
			}
		}
		all = append(all, node(pairs{"oneOf", members}))
	}
	return all
}

func byNumber(m protoreflect.MessageDescriptor) []protoreflect.FieldDescriptor {
	var list []protoreflect.FieldDescriptor
	for i := range m.Fields().Len() {
		list = append(list, m.Fields().Get(i))
	}
	slices.SortFunc(list, func(a, b protoreflect.FieldDescriptor) int { return int(a.Number() - b.Number()) })
	return list
}

// reasonSchema lists the reasons; their words are those of the problems.
func reasonSchema() *yaml.Node {
	names := slices.Sorted(maps.Keys(fault.Reasons))
	var words strings.Builder
	words.WriteString("Why, stable for ever; /docs/errors/{reason} explains each in English and Chinese.\n\n")
	for _, name := range names {
		fmt.Fprintf(&words, "- `%s`: %s\n", name, fault.Reasons[name].Title)
	}
	return node(pairs{"description", words.String(), "type", "string", "enum", names})
}

// codeSchema lists the gRPC codes that a problem can have. Unknown never leaves
// a service.
func codeSchema() *yaml.Node {
	var names []string
	for c := codes.Canceled; c <= codes.Unauthenticated; c++ {
		if c != codes.Unknown {
			names = append(names, c.String())
		}
	}
	return node(pairs{"description", "The gRPC code of the same refusal, for those who call the services too.", "type", "string", "enum", names})
}
