package wirejson

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"clinsource/internal/sourcevalue"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// field is what both directions know about one field.
type field struct {
	fd    protoreflect.FieldDescriptor
	name  string // as in the .proto
	label string // `"name":`
	kind  protoreflect.Kind
	index int  // in the plan, for the set of seen fields
	list  bool // repeated, not a map
	isMap bool
	time  bool // Timestamp, also as element

	oneof       protoreflect.OneofDescriptor   // a real one, else nil
	entered     *field                         // of a number
	text        *field                         // of a time
	value       *field                         // of a map's entries
	enum        protoreflect.EnumDescriptor    // of an enum
	message     protoreflect.MessageDescriptor // of a message
	meaningful0 bool                           // enum whose zero is a real value (Celsius)
}

// plan is one message type, its fields in the order of their numbers.
type plan struct {
	fields []*field
	byName map[string]*field
}

var plans sync.Map // protoreflect.MessageDescriptor -> *plan

func planOf(md protoreflect.MessageDescriptor) *plan {
	if p, ok := plans.Load(md); ok {
		return p.(*plan)
	}
	kept, _ := plans.LoadOrStore(md, newPlan(md))
	return kept.(*plan)
}

func newPlan(md protoreflect.MessageDescriptor) *plan {
	p := &plan{byName: map[string]*field{}}
	for i := range md.Fields().Len() {
		f := newField(md.Fields().Get(i))
		p.fields = append(p.fields, f)
		p.byName[f.name] = f
	}
	slices.SortFunc(p.fields, func(a, b *field) int { return cmp.Compare(a.fd.Number(), b.fd.Number()) })
	for i, f := range p.fields {
		f.index = i
		if fd := sourcevalue.EnteredOf(f.fd); fd != nil {
			f.entered = p.byName[string(fd.Name())]
		}
		if fd := sourcevalue.TextOf(f.fd); fd != nil && !f.list {
			f.text = p.byName[string(fd.Name())]
		}
	}
	return p
}

// newField panics on a map whose keys are not strings: no JSON object can have
// them, and the first test that touches such a message sees it.
func newField(fd protoreflect.FieldDescriptor) *field {
	f := &field{
		fd: fd, name: string(fd.Name()), label: `"` + string(fd.Name()) + `":`, kind: fd.Kind(),
		list: fd.IsList(), isMap: fd.IsMap(), time: sourcevalue.IsTimestamp(fd),
		enum: fd.Enum(), message: fd.Message(),
	}
	if oneof := fd.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() {
		f.oneof = oneof
	}
	if f.enum != nil {
		f.meaningful0 = !isUnspecified(f.enum.Values().ByNumber(0))
	}
	if f.isMap {
		if fd.MapKey().Kind() != protoreflect.StringKind {
			panic("wirejson: " + string(fd.FullName()) + ": only maps with string keys can be JSON")
		}
		f.value = newField(fd.MapValue())
	}
	return f
}

// isUnspecified reports whether an enum value means "not said"; such a name is
// neither written nor suggested.
func isUnspecified(v protoreflect.EnumValueDescriptor) bool {
	return v == nil || v.Name() == "UNSPECIFIED" || strings.HasSuffix(string(v.Name()), "_UNSPECIFIED")
}
