package sourcevalue

import (
	"strconv"

	"clinsource/internal/fault"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// MaxViolations bounds one answer: a hostile message of 2 MiB could otherwise
// grow into a hundred times as many bytes of complaint.
const MaxViolations = 100

// Complete fills in, in place and in every message inside msg, what the source
// values imply, and names everything that contradicts itself, all at once (up to
// MaxViolations). It returns nil when the message is whole; after a violation
// the message is partly filled and must not be stored. Completing twice changes
// nothing.
//
// A number X with an X_entered field:
//
//   - text missing, X given: the text becomes X's shortest decimal text, a float
//     printed as a float32 (37.2 sent as a float is "37.2"). X is given when it is
//     set, or nonzero where the field has no presence: a bare 0 without text stays
//     as it is, the domain says whether it is missing.
//   - X missing, text given: X is derived, integers half-even, floats to the nearest.
//   - both: X must equal the derived number (value.disagrees).
//   - X_rounded is set to what is true, whatever the caller sent: X says another
//     number than the text (for floats: X's shortest text does).
//
// Rules: value.malformed (not a JSON number, over 40 characters, exponent beyond
// ±30), value.out_of_type (the number does not fit X), value.disagrees,
// value.not_finite (NaN or infinite, in any float field, siblings or not).
//
// A Timestamp T with a text field: the missing one is derived (the text as UTC
// with the digits it needs), both must be the same instant to the nanosecond.
// Rules: time.malformed (see [ParseTime]), time.disagrees, time.invalid (a
// Timestamp outside its type's range, text or not).
//
// Violations come in field order (the entries of a map in no order), carry paths such as
// measurements[2].blood_pressure.systolic and never the value.
func Complete(msg proto.Message) []fault.Violation {
	if msg == nil {
		return nil
	}
	w := walk{path: make([]byte, 0, 64)}
	w.message(msg.ProtoReflect())
	return w.found
}

// walk is one pass over a message. path is where it stands, ending in a dot
// below the top, so that a field's path is one append.
type walk struct {
	path  []byte
	found []fault.Violation
}

func (w *walk) message(m protoreflect.Message) {
	if !m.IsValid() || len(w.found) >= MaxViolations {
		return // a nil element of a list has nothing to complete
	}
	p := planOf(m.Descriptor())
	for i := range p.numbers {
		w.number(m, &p.numbers[i])
	}
	for i := range p.times {
		w.time(m, &p.times[i])
	}
	for _, fd := range p.floats {
		w.finite(m, fd)
	}
	for _, fd := range p.children {
		if m.Has(fd) {
			w.child(m, fd)
		}
	}
}

func (w *walk) child(m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	back := len(w.path)
	w.path = append(w.path, fd.Name()...)
	switch {
	case fd.IsMap():
		m.Get(fd).Map().Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
			w.element(appendKey(w.path, key), v.Message())
			return true
		})
	case fd.IsList():
		list := m.Get(fd).List()
		for i := range list.Len() {
			w.element(appendIndex(w.path, i), list.Get(i).Message())
		}
	default:
		w.element(w.path, m.Get(fd).Message())
	}
	w.path = w.path[:back]
}

// element completes the message that stands at path, which extends w.path.
func (w *walk) element(path []byte, m protoreflect.Message) {
	back := len(w.path)
	if w.path = path; m.Descriptor().FullName() == timestampName {
		if _, ok := TimeOf(m); !ok {
			w.add(string(path), "time.invalid", "must lie in the years 1 to 9999 with nanos from 0 to 999999999")
		}
	} else {
		w.path = append(w.path, '.')
		w.message(m)
	}
	w.path = w.path[:back]
}

// finite checks the floats of a list or map.
func (w *walk) finite(m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	check := func(v protoreflect.Value, place func(path []byte) []byte) {
		if !isFinite(v.Float()) {
			w.add(string(place([]byte(w.at(fd)))), "value.not_finite", "must be a finite number")
		}
	}
	if fd.IsMap() {
		m.Get(fd).Map().Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
			check(v, func(path []byte) []byte { return appendKey(path, key) })
			return true
		})
		return
	}
	list := m.Get(fd).List()
	for i := range list.Len() {
		check(list.Get(i), func(path []byte) []byte { return appendIndex(path, i) })
	}
}

func appendIndex(path []byte, i int) []byte {
	path = append(path, '[')
	path = strconv.AppendInt(path, int64(i), 10)
	return append(path, ']')
}

// appendKey writes ["key"]; the key is the caller's, so it is quoted and cut.
func appendKey(path []byte, key protoreflect.MapKey) []byte {
	const longest = 64
	text := key.String()
	path = append(path, '[')
	path = strconv.AppendQuote(path, text[:min(len(text), longest)])
	return append(path, ']')
}

// at is the full path of a field of the message that the walk stands in.
func (w *walk) at(fd protoreflect.FieldDescriptor) string {
	return string(w.path) + string(fd.Name())
}

func (w *walk) refuse(fd protoreflect.FieldDescriptor, rule, message string) {
	w.add(w.at(fd), rule, message)
}

func (w *walk) add(field, rule, message string) {
	if len(w.found) < MaxViolations {
		w.found = append(w.found, fault.Violation{Field: field, Rule: rule, Message: message})
	}
}
