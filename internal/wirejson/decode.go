package wirejson

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"clinsource/internal/fault"
	"clinsource/internal/sourcevalue"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Bounds of one body, beside the byte limit that the HTTP layer sets: a short
// body can ask for much memory ([{},{},...]).
const (
	MaxDepth      = 32      // objects and arrays inside each other
	MaxValues     = 100_000 // keys and array elements, unless the Decoder says otherwise
	MaxViolations = 50      // reported for one body
)

// Decoder holds the choices of one kind of request; the zero Decoder is ready.
type Decoder struct {
	// Deny reports the fields that only the server fills; nil denies none. A
	// denied field with any value but null is refused (field.read_only).
	Deny func(protoreflect.FieldDescriptor) bool
	// MaxValues bounds the keys and array elements of a body; 0 means MaxValues.
	MaxValues int
}

// Decode reads one JSON object into msg, which it resets first, and names
// everything wrong with it, at most MaxViolations; nil means that all of it was
// understood. After a violation msg is partly filled and must not be used.
// Field is the full path (measurements[2].value), or "body" for what concerns the
// whole; messages never hold a value.
//
// Each field takes one JSON type: numbers a number (64-bit ones too), enums a name,
// Timestamps an RFC 3339 string (see sourcevalue.ParseTime), bytes standard base64.
// null is the same as leaving the field out, except inside arrays and maps.
// Integers have neither point nor exponent, unless an X_entered field stands
// beside X: then any JSON number goes verbatim into X_entered, X is set only
// if it fits as it is, and sourcevalue.Complete derives it otherwise. A body may
// give both (our own answers do): X_entered is kept, and X must not contradict it. The
// same for a Timestamp and its text.
//
//	body.malformed    not one JSON object in UTF-8; the message has line and column
//	body.too_deep     over MaxDepth
//	body.too_large    over MaxValues
//	field.unknown     no such field; the nearest name, or the known ones
//	field.duplicate   a key twice in one object
//	field.type        another JSON type; expected and got
//	field.oneof       two of a choice
//	field.read_only   denied by Deny
//	enum.unknown      no such name; the allowed ones
//	time.malformed    see sourcevalue.ParseTime
//	bytes.malformed   not base64
//	value.malformed, value.out_of_type, value.disagrees   as in sourcevalue.Complete
//
// A body.* violation is the last one: reading ends there.
func Decode(data []byte, msg proto.Message) []fault.Violation {
	return Decoder{}.Decode(data, msg)
}

// Decode is the package's Decode with this Decoder's choices.
func (d Decoder) Decode(data []byte, msg proto.Message) []fault.Violation {
	proto.Reset(msg)
	r := reader{
		scanner: scanner{data: data, limit: d.MaxValues},
		deny:    d.Deny,
		path:    make([]byte, 0, 64),
	}
	if r.limit == 0 {
		r.limit = MaxValues
	}
	if !r.body(msg.ProtoReflect()) && r.problem != "" {
		r.add("body", r.rule, r.place()+": "+r.problem)
	}
	return r.found
}

// reader decodes one body. Its methods answer whether to read on: false after
// a syntax error, a bound or MaxViolations, true after any other violation.
// path is where it stands, without a dot at the end.
type reader struct {
	scanner
	deny    func(protoreflect.FieldDescriptor) bool
	path    []byte
	found   []fault.Violation
	sources []source // of the objects being read, innermost last
}

// source is a literal that goes into the text field beside its value when the
// object has ended without that field.
type source struct {
	into    *field
	of      *field
	literal string
	fits    bool // the value itself was set from the literal
}

func (r *reader) body(m protoreflect.Message) bool {
	if bad := invalidUTF8(r.data); bad >= 0 {
		r.pos = bad
		return r.stop("body.malformed", "the body is not UTF-8")
	}
	switch c := r.peek(); {
	case c == '{':
	case r.pos >= len(r.data):
		return r.stop("body.malformed", "the body is empty; a JSON object is expected")
	default:
		r.path = append(r.path, "body"...)
		return r.wrongType("an object") && r.end()
	}
	return r.object(m) && r.end()
}

func (r *reader) end() bool {
	r.peek()
	if r.pos < len(r.data) {
		return r.stop("body.malformed", "nothing may follow the object")
	}
	return true
}

func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// object reads an object at its brace into m.
func (r *reader) object(m protoreflect.Message) bool {
	if !r.open() {
		return false
	}
	p := planOf(m.Descriptor())
	var few [2]uint64
	seen := few[:]
	if len(p.fields) > 64*len(few) {
		seen = make([]uint64, len(p.fields)/64+1)
	}
	sources, back := len(r.sources), len(r.path)
	for first := true; ; first = false {
		more, ok := r.next(first, '}')
		if !more {
			return ok && r.settle(m, sources)
		}
		key, ok := r.key()
		if !ok {
			return false
		}
		if f := p.byName[string(key)]; f != nil {
			r.enter(f)
			ok = r.member(m, f, seen)
		} else {
			ok = r.unknown(p, key)
		}
		if !ok {
			return false
		}
		r.path = r.path[:back]
	}
}

// enter extends the path by a field.
func (r *reader) enter(f *field) {
	if len(r.path) > 0 {
		r.path = append(r.path, '.')
	}
	r.path = append(r.path, f.name...)
}

// unknown refuses a key and skips its value. The key is the caller's: it goes into
// the path cut, and quoted where it could be mistaken.
func (r *reader) unknown(p *plan, key []byte) bool {
	const longest = 64
	if len(r.path) > 0 {
		r.path = append(r.path, '.')
	}
	shown := string(key)
	if len(shown) > longest {
		shown = strings.ToValidUTF8(shown[:longest], "") + "..."
	}
	if shown == "" || strings.ContainsFunc(shown, func(c rune) bool { return c == '"' || c == '\\' || !unicode.IsPrint(c) }) {
		shown = strconv.Quote(shown)
	}
	r.path = append(r.path, shown...)
	return r.refuse("field.unknown", "is not a field here; "+p.hint(string(key), r.deny)) && r.skip()
}

// member reads the value of a field.
func (r *reader) member(m protoreflect.Message, f *field, seen []uint64) bool {
	bit := uint64(1) << (f.index % 64)
	if seen[f.index/64]&bit != 0 {
		return r.refuse("field.duplicate", "stands twice in one object; give it once") && r.skip()
	}
	seen[f.index/64] |= bit
	if r.peek() == 'n' {
		return r.word("null")
	}
	if r.deny != nil && r.deny(f.fd) {
		return r.refuse("field.read_only", "is filled by the server; leave it out") && r.skip()
	}
	if f.oneof != nil {
		if other := m.WhichOneof(f.oneof); other != nil {
			return r.refuse("field.oneof", "excludes "+string(other.Name())+"; give one of the two") && r.skip()
		}
	}
	return r.value(m, f)
}

// value reads the value of a field that may be given.
func (r *reader) value(m protoreflect.Message, f *field) bool {
	switch {
	case f.isMap:
		return r.mapping(m, f)
	case f.list:
		return r.array(m, f)
	case f.time:
		return r.timestamp(m, f)
	case f.message != nil:
		if r.peek() != '{' {
			return r.wrongType("an object")
		}
		return r.object(m.Mutable(f.fd).Message())
	case f.entered != nil:
		return r.enteredNumber(m, f)
	default:
		v, ok, on := r.scalar(f)
		if ok {
			m.Set(f.fd, v)
		}
		return on
	}
}

func (r *reader) array(m protoreflect.Message, f *field) bool {
	if r.peek() != '[' {
		return r.wrongType("an array")
	}
	if !r.open() {
		return false
	}
	list := m.Mutable(f.fd).List()
	back := len(r.path)
	for i := 0; ; i++ {
		more, ok := r.next(i == 0, ']')
		if !more {
			return ok
		}
		r.path = append(r.path, '[')
		r.path = strconv.AppendInt(r.path, int64(i), 10)
		r.path = append(r.path, ']')
		v, ok, on := r.element(f, list.NewElement)
		if !on {
			return false
		}
		if ok {
			list.Append(v)
		}
		r.path = r.path[:back]
	}
}

func (r *reader) mapping(m protoreflect.Message, f *field) bool {
	if r.peek() != '{' {
		return r.wrongType("an object")
	}
	if !r.open() {
		return false
	}
	entries := m.Mutable(f.fd).Map()
	back := len(r.path)
	for first := true; ; first = false {
		more, ok := r.next(first, '}')
		if !more {
			return ok
		}
		text, ok := r.key()
		if !ok {
			return false
		}
		key := protoreflect.ValueOfString(string(text)).MapKey()
		const longest = 64
		r.path = append(r.path, '[')
		r.path = strconv.AppendQuote(r.path, string(text[:min(len(text), longest)]))
		r.path = append(r.path, ']')
		if entries.Has(key) {
			if !r.refuse("field.duplicate", "stands twice in one object; give it once") || !r.skip() {
				return false
			}
		} else if v, ok, on := r.element(f.value, entries.NewValue); !on {
			return false
		} else if ok {
			entries.Set(key, v)
		}
		r.path = r.path[:back]
	}
}

// element reads one element of an array or one value of a map.
func (r *reader) element(f *field, empty func() protoreflect.Value) (v protoreflect.Value, ok, on bool) {
	switch {
	case f.time:
		t, _, ok, on := r.instant()
		if !ok {
			return v, false, on
		}
		v = empty()
		sourcevalue.SetTime(v.Message(), t)
		return v, true, true
	case f.message != nil:
		if r.peek() != '{' {
			return v, false, r.wrongType("an object")
		}
		v = empty()
		on = r.object(v.Message())
		return v, on, on
	default:
		return r.scalar(f)
	}
}

// settle brings the source texts of an object that has ended to their fields.
func (r *reader) settle(m protoreflect.Message, from int) bool {
	for i := from; i < len(r.sources); i++ {
		s := &r.sources[i]
		given := m.Get(s.into.fd).String()
		switch {
		case given == "":
			m.Set(s.into.fd, protoreflect.ValueOfString(s.literal))
		case !s.fits && !sourcevalue.SameNumber(given, s.literal):
			back := len(r.path)
			r.enter(s.of)
			on := r.refuse("value.disagrees", "is not the number that "+s.into.name+" says; send one of the two, or the same in both")
			if r.path = r.path[:back]; !on {
				return false
			}
		}
	}
	r.sources = r.sources[:from]
	return true
}

// refuse reports a violation where the reader stands.
func (r *reader) refuse(rule, message string) bool {
	return r.add(string(r.path), rule, message)
}

func (r *reader) add(path, rule, message string) bool {
	if len(r.found) < MaxViolations {
		r.found = append(r.found, fault.Violation{Field: path, Rule: rule, Message: message})
	}
	return len(r.found) < MaxViolations
}

// wrongType refuses the next value and skips it, if it is JSON at all.
func (r *reader) wrongType(expected string) bool {
	got := r.got()
	if got == "" {
		return r.malformed("a JSON value")
	}
	return r.refuse("field.type", expected+" is expected, got "+got) && r.skip()
}

// got names the JSON type of the next value by its first byte.
func (r *reader) got() string {
	switch c := r.peek(); c {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return "a number"
	default:
		return ""
	}
}
