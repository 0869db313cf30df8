package main

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"gopkg.in/yaml.v3"

	"clinsource/internal/sourcevalue"
)

// identifiers are the fields that hold an identifier (package ident); in answers
// they are as they were stored.
var identifiers = map[protoreflect.Name]bool{
	"project_id": true, "patient_id": true, "site_id": true, "client_record_id": true, "questionnaire_id": true, "questionnaire_version": true,
}

// field is the schema of one field; input says that a caller sends it.
func (s *schemas) field(fd protoreflect.FieldDescriptor, input bool) *yaml.Node {
	words := s.words[fd.FullName()]
	switch {
	case fd.IsMap():
		return node(pairs{"description", words, "type", "object", "additionalProperties", s.value(fd.MapValue(), input)})
	case fd.IsList():
		schema := node(pairs{"description", words, "type", "array", "items", s.value(fd, input)})
		if input && isRequired.MatchString(words) {
			set(schema, "minItems", 1)
		}
		return schema
	default:
		schema := s.value(fd, input)
		schema.Style = 0 // A description is too long for one line with the rest.
		set(schema, "description", words)
		return schema
	}
}

// value is the schema of one value: a singular field, an element or a map's value.
func (s *schemas) value(fd protoreflect.FieldDescriptor, input bool) *yaml.Node {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return node(pairs{"type", "boolean"})
	case protoreflect.StringKind:
		return s.text(fd, input)
	case protoreflect.BytesKind:
		return node(pairs{"type", "string", "contentEncoding", "base64"})
	case protoreflect.EnumKind:
		return s.enum(fd.Enum())
	case protoreflect.MessageKind:
		return s.message(fd, input)
	case protoreflect.FloatKind:
		return node(pairs{"type", "number", "format", "float"})
	case protoreflect.DoubleKind:
		return node(pairs{"type", "number", "format", "double"})
	}
	if input && rounds(fd) {
		return node(pairs{"type", "number"})
	}
	return whole(fd.Kind())
}

// rounds says whether an integer takes decimals: its text is kept, and it says
// when it differs.
func rounds(fd protoreflect.FieldDescriptor) bool {
	return sourcevalue.EnteredOf(fd) != nil && fd.ContainingMessage().Fields().ByName(fd.Name()+"_rounded") != nil
}

func whole(kind protoreflect.Kind) *yaml.Node {
	switch kind {
	case protoreflect.Int32Kind:
		return node(pairs{"type", "integer", "format", "int32"})
	case protoreflect.Int64Kind:
		return node(pairs{"type", "integer", "format", "int64"})
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return node(pairs{"type", "integer", "format", "int64", "minimum", 0})
	}
	panic(fmt.Sprintf("gen: no schema for a field of kind %s: add one", kind))
}

func (s *schemas) message(fd protoreflect.FieldDescriptor, input bool) *yaml.Node {
	name := string(fd.Message().Name())
	switch {
	case sourcevalue.IsTimestamp(fd):
		name = "Time"
	case input:
		name += "Input"
	}
	s.want(name)
	return node(ref(name))
}

// text is the schema of a string: some hold a number, a time or an identifier.
func (s *schemas) text(fd protoreflect.FieldDescriptor, input bool) *yaml.Node {
	fields := fd.ContainingMessage().Fields()
	for i := range fields.Len() {
		switch other := fields.Get(i); fd {
		case sourcevalue.EnteredOf(other):
			return node(ref("DecimalText"))
		case sourcevalue.TextOf(other):
			return node(ref("TimeText"))
		}
	}
	if input && identifiers[fd.Name()] {
		return node(ref("Identifier"))
	}
	return node(pairs{"type", "string"})
}

// enum makes the enum's schema and refers to it. UNSPECIFIED is neither sent
// nor taken.
func (s *schemas) enum(e protoreflect.EnumDescriptor) *yaml.Node {
	name := string(e.Name())
	if s.made[name] == nil {
		var names []string
		words := &strings.Builder{}
		fmt.Fprintf(words, "%s\n\n", s.words[e.FullName()])
		for i := range e.Values().Len() {
			if v := e.Values().Get(i); !strings.HasSuffix(string(v.Name()), "_UNSPECIFIED") {
				names = append(names, string(v.Name()))
				fmt.Fprintf(words, "- `%s`: %s\n", v.Name(), s.words[v.FullName()])
			}
		}
		s.made[name] = node(pairs{"description", words.String(), "type", "string", "enum", names})
	}
	return node(ref(name))
}
