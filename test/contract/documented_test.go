package contract_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestEverythingIsDocumented asks for words on every element: the .proto files
// are the only manual that a partner's developer is given.
func TestEverythingIsDocumented(t *testing.T) {
	for _, file := range sources(t) {
		if file.SourceLocations().ByPath(packageStatement).LeadingComments == "" {
			t.Errorf("%s: no comment above the package statement: say what the contract is for", file.Path())
		}
		for _, d := range elements(file) {
			if len(comment(d)) < len("Id.") {
				t.Errorf("%s has no comment: say what it is; for a field also the unit, the range, and whether it is required", d.FullName())
			}
		}
	}
}

// packageStatement is where descriptors keep the place of a file's package
// statement: field 2 of FileDescriptorProto.
var packageStatement = protoreflect.SourcePath{2}

// elements lists all that a contract's author writes and a reader looks up.
func elements(file protoreflect.FileDescriptor) []protoreflect.Descriptor {
	var all []protoreflect.Descriptor
	for s := range each(file.Services()) {
		all = append(all, s)
	}
	for _, m := range methodsIn(file) {
		all = append(all, m)
	}
	for _, m := range messagesIn(file) {
		all = append(all, m)
		for f := range each(m.Fields()) {
			all = append(all, f)
		}
	}
	for _, e := range enumsIn(file) {
		all = append(all, e)
		for v := range each(e.Values()) {
			all = append(all, v)
		}
	}
	return all
}

// A caller must know of every RPC whether it may be sent again.
func TestEveryRPCSaysWhetherItIsRetrySafe(t *testing.T) {
	for _, file := range sources(t) {
		for _, m := range methodsIn(file) {
			words := strings.ToLower(strings.Join(strings.Fields(comment(m)), " "))
			if !strings.Contains(words, "retry safe") {
				t.Errorf(`%s: the comment says neither "Retry safe" nor "Not retry safe"`, m.FullName())
			}
		}
	}
}

// An enum of ours begins with its own UNSPECIFIED, so that a field nobody
// filled in is never taken for a value.
func TestEnumsBeginUnspecified(t *testing.T) {
	promised := protoreflect.FullName("vitals.TemperatureUnit") // The article's: Celsius is 0.
	for _, file := range sources(t) {
		for _, e := range enumsIn(file) {
			want := upperSnake(string(e.Name())) + "_UNSPECIFIED"
			if first := e.Values().ByNumber(0).Name(); e.FullName() != promised && string(first) != want {
				t.Errorf("%s: value 0 is %s, want %s", e.FullName(), first, want)
			}
		}
	}
}

// upperSnake turns SubjectState into SUBJECT_STATE.
func upperSnake(camel string) string {
	var b strings.Builder
	for i, r := range camel {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// Every list turns pages in the same way and says in which order.
func TestListsTurnPages(t *testing.T) {
	for _, file := range sources(t) {
		for _, m := range methodsIn(file) {
			if !isList(m) {
				continue
			}
			for _, want := range []struct {
				in   protoreflect.MessageDescriptor
				name protoreflect.Name
				kind protoreflect.Kind
			}{
				{m.Input(), "page_size", protoreflect.Int32Kind},
				{m.Input(), "page_token", protoreflect.StringKind},
				{m.Output(), "next_page_token", protoreflect.StringKind},
			} {
				if f := want.in.Fields().ByName(want.name); f == nil || f.Kind() != want.kind {
					t.Errorf("%s is a list: %s needs %s %s", m.FullName(), want.in.FullName(), want.kind, want.name)
				}
			}
			order := comment(m) + " " + comment(m.Output())
			if !strings.Contains(order, "newest") && !strings.Contains(order, "by id") && !strings.Contains(order, "ordered by") {
				t.Errorf(`%s: the comment does not state the order ("newest ... first", "by id", "ordered by ...")`, m.FullName())
			}
		}
	}
}

// isList: an answer with many messages of a kind, or a name that says so.
// Findings belong to one record, gaps to one subject, and a stream has no pages.
func isList(m protoreflect.MethodDescriptor) bool {
	if m.IsStreamingServer() {
		return false
	}
	for f := range each(m.Output().Fields()) {
		if f.IsList() && f.Kind() == protoreflect.MessageKind && f.Name() != "findings" && f.Name() != "consent_gaps" {
			return true
		}
	}
	return strings.HasPrefix(string(m.Name()), "List")
}
