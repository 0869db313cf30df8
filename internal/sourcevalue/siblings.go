package sourcevalue

import (
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// EnteredOf gives the X_entered field of a number, nil where the message has
// none. A string inside a oneof is none: it could not stand beside X.
func EnteredOf(x protoreflect.FieldDescriptor) protoreflect.FieldDescriptor {
	if !isNumber(x.Kind()) {
		return nil
	}
	return sibling(x, "_entered", protoreflect.StringKind)
}

// TextOf gives the text field of a Timestamp (T_text, or source_time_text where
// it belongs to T), nil where the message has none.
func TextOf(t protoreflect.FieldDescriptor) protoreflect.FieldDescriptor {
	if !IsTimestamp(t) {
		return nil
	}
	if text := sibling(t, "_text", protoreflect.StringKind); text != nil {
		return text
	}
	if sourceTime(t.ContainingMessage()) == t {
		return plain(t.ContainingMessage().Fields().ByName("source_time_text"), protoreflect.StringKind)
	}
	return nil
}

// sibling is the field that stands beside x under its name and a suffix.
func sibling(x protoreflect.FieldDescriptor, suffix protoreflect.Name, kind protoreflect.Kind) protoreflect.FieldDescriptor {
	if x.Cardinality() == protoreflect.Repeated {
		return nil
	}
	return plain(x.ContainingMessage().Fields().ByName(x.Name()+suffix), kind)
}

// plain is fd if it is one value of this kind outside any oneof, else nil.
func plain(fd protoreflect.FieldDescriptor, kind protoreflect.Kind) protoreflect.FieldDescriptor {
	if fd == nil || fd.Kind() != kind || fd.Cardinality() == protoreflect.Repeated {
		return nil
	}
	if oneof := fd.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() {
		return nil
	}
	return fd
}

// sourceTime is the Timestamp that a message's source_time_text belongs to.
func sourceTime(md protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	var first protoreflect.FieldDescriptor
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		candidate := IsTimestamp(fd) && fd.Cardinality() != protoreflect.Repeated &&
			strings.HasSuffix(string(fd.Name()), "_time") && fd.Name() != "received_time" &&
			sibling(fd, "_text", protoreflect.StringKind) == nil
		if candidate && (first == nil || fd.Number() < first.Number()) {
			first = fd
		}
	}
	return first
}

// plan is what Complete does with one type of message.
type plan struct {
	numbers  []numberField
	times    []timeField
	floats   []protoreflect.FieldDescriptor // lists and maps that must be finite
	children []protoreflect.FieldDescriptor // messages, lists and maps of them
}

var plans sync.Map // protoreflect.MessageDescriptor -> *plan

func planOf(md protoreflect.MessageDescriptor) *plan {
	if p, ok := plans.Load(md); ok {
		return p.(*plan)
	}
	p := &plan{}
	for i := range md.Fields().Len() {
		p.add(md.Fields().Get(i))
	}
	kept, _ := plans.LoadOrStore(md, p)
	return kept.(*plan)
}

func (p *plan) add(fd protoreflect.FieldDescriptor) {
	value := fd
	if fd.IsMap() {
		value = fd.MapValue()
	}
	repeated := fd.Cardinality() == protoreflect.Repeated
	switch {
	case IsTimestamp(value) && !repeated:
		p.times = append(p.times, timeField{t: fd, text: TextOf(fd)})
	case value.Message() != nil:
		p.children = append(p.children, fd)
	case repeated && isFloat(value.Kind()):
		p.floats = append(p.floats, fd)
	case repeated:
	case EnteredOf(fd) != nil || isFloat(fd.Kind()):
		p.numbers = append(p.numbers, numberField{
			x: fd, entered: EnteredOf(fd), rounded: sibling(fd, "_rounded", protoreflect.BoolKind),
		})
	}
}
