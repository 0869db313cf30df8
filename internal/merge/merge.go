// Package merge is how a correction meets the record that it corrects: the fields
// that it gives replace, those that it removes go, the rest stays. Over HTTP that is
// a JSON merge patch (RFC 7396) whose null removes (Paths); over gRPC a list of
// paths says which fields are meant (Apply).
//
// What is one value is never taken apart: a number, its entered text and its mark
// go together, a time and its text, a code with its system and its words, a list
// with all its elements. A unit stays when its number is given alone.
package merge

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"clinsource/internal/fault"
	"clinsource/internal/sourcevalue"
	recordpb "clinsource/proto/record"
)

// identity is what a correction cannot change: whose record it is and how it is
// known.
var identity = []protoreflect.Name{"patient_id", "project_id", "record_id", "client_record_id", "site_id"}

// Apply puts what a correction says into the content of the version that it is
// based on: each field that a path names (blood_pressure, temperature.value) takes
// the correction's value, or is removed where that has none; all other fields
// stay. No path at all names every field that the correction has.
func Apply(content, correction proto.Message, paths []string) []fault.Violation {
	into, from := content.ProtoReflect(), correction.ProtoReflect()
	if len(paths) == 0 {
		paths = given(from, into)
	}
	var bad []fault.Violation
	for _, path := range paths {
		if !apply(into, from, strings.Split(path, ".")) {
			bad = append(bad, fault.Violation{Field: "update_mask", Rule: "mask.unknown",
				Message: "names a field that cannot be corrected: give content fields as they are in the upload"})
		}
	}
	return bad
}

// given names the fields of a correction that hold content.
func given(from, into protoreflect.Message) []string {
	var names []string
	from.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if into.Descriptor().Fields().ByName(fd.Name()) != nil && !slices.Contains(identity, fd.Name()) {
			names = append(names, string(fd.Name()))
		}
		return true
	})
	return names
}

func apply(into, from protoreflect.Message, path []string) bool {
	name := protoreflect.Name(path[0])
	to, of := into.Descriptor().Fields().ByName(name), from.Descriptor().Fields().ByName(name)
	if to == nil || of == nil || slices.Contains(identity, name) {
		return false
	}
	if len(path) == 1 {
		for _, one := range family(of) {
			put(into, one.Name(), from, one)
		}
		return true
	}
	if IsWhole(to) {
		return false
	}
	return apply(into.Mutable(to).Message(), from.Get(of).Message(), path[1:])
}

// IsWhole says whether a field is replaced as a whole.
func IsWhole(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() == nil || fd.Cardinality() == protoreflect.Repeated || sourcevalue.IsTimestamp(fd) ||
		fd.Message().FullName() == (&recordpb.Coding{}).ProtoReflect().Descriptor().FullName()
}

// Paths gives the paths of the content fields that a correction in JSON names, with
// a value or with null; the body is one that could be decoded into the message.
func Paths(body []byte, correction proto.Message) []string {
	return pathsIn(body, correction.ProtoReflect().Descriptor(), "")
}

// about are the fields of a correction that are no content.
var about = append([]protoreflect.Name{"base_version", "reason", "update_mask"}, identity...)

// IsContent says whether a field of a correction is one of the record's content,
// which a path may name.
func IsContent(fd protoreflect.FieldDescriptor) bool { return !slices.Contains(about, fd.Name()) }

func pathsIn(body []byte, md protoreflect.MessageDescriptor, prefix string) []string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return nil
	}
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		fd := md.Fields().ByName(protoreflect.Name(name))
		switch {
		case fd == nil, prefix == "" && !IsContent(fd):
		case IsWhole(fd) || bytes.HasPrefix(fields[name], []byte("null")):
			paths = append(paths, prefix+name)
		default:
			paths = append(paths, pathsIn(fields[name], fd.Message(), prefix+name+".")...)
		}
	}
	return paths
}

// put copies one field, or removes it where there is nothing to copy.
func put(into protoreflect.Message, name protoreflect.Name, from protoreflect.Message, of protoreflect.FieldDescriptor) {
	to := into.Descriptor().Fields().ByName(name)
	switch {
	case to == nil:
	case !from.Has(of):
		into.Clear(to)
	case of.IsList():
		into.Clear(to)
		into.Set(to, protoreflect.ValueOfList(copied(into.NewField(to).List(), from.Get(of).List())))
	case of.Message() != nil:
		into.Set(to, protoreflect.ValueOfMessage(proto.Clone(from.Get(of).Message().Interface()).ProtoReflect()))
	default:
		into.Set(to, from.Get(of))
	}
}

func copied(to, from protoreflect.List) protoreflect.List {
	for i := range from.Len() {
		if v := from.Get(i); isMessage(v) {
			to.Append(protoreflect.ValueOfMessage(proto.Clone(v.Message().Interface()).ProtoReflect()))
		} else {
			to.Append(v)
		}
	}
	return to
}

func isMessage(v protoreflect.Value) bool {
	_, ok := v.Interface().(protoreflect.Message)
	return ok
}

// family gives the fields that say one thing: a number, its entered text and its
// mark, or a time and its text; most fields are alone.
func family(fd protoreflect.FieldDescriptor) []protoreflect.FieldDescriptor {
	fields := fd.ContainingMessage().Fields()
	for i := range fields.Len() {
		if all := sayingTheSame(fields.Get(i)); slices.Contains(all, fd) {
			return all
		}
	}
	return []protoreflect.FieldDescriptor{fd}
}

func sayingTheSame(x protoreflect.FieldDescriptor) []protoreflect.FieldDescriptor {
	all := []protoreflect.FieldDescriptor{x}
	beside := []protoreflect.FieldDescriptor{
		sourcevalue.EnteredOf(x), sourcevalue.TextOf(x), x.ContainingMessage().Fields().ByName(x.Name() + "_rounded"),
	}
	for _, fd := range beside {
		if fd != nil {
			all = append(all, fd)
		}
	}
	if len(all) == 1 {
		return nil // Alone: it may be the text of another.
	}
	return all
}

// Changed names the fields of which two contents of one kind differ, in the
// contract's order.
func Changed(before, after proto.Message) []string {
	a, b := before.ProtoReflect(), after.ProtoReflect()
	var names []string
	for i := range a.Descriptor().Fields().Len() {
		fd := a.Descriptor().Fields().Get(i)
		if a.Has(fd) != b.Has(fd) || a.Has(fd) && !a.Get(fd).Equal(b.Get(fd)) {
			names = append(names, string(fd.Name()))
		}
	}
	return names
}

// Carry copies the fields that two messages of one content share by name: a
// stored record and the request that it came as.
func Carry(to, from proto.Message) {
	into, of := to.ProtoReflect(), from.ProtoReflect()
	of.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if same := into.Descriptor().Fields().ByName(fd.Name()); same != nil && same.Kind() == fd.Kind() {
			put(into, fd.Name(), of, fd)
		}
		return true
	})
}
