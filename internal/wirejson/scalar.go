package wirejson

import (
	"encoding/base64"
	"strconv"
	"time"

	"clinsource/internal/sourcevalue"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// scalar reads one value that is not a message. ok says that v is to be
// stored, on that reading goes on.
func (r *reader) scalar(f *field) (v protoreflect.Value, ok, on bool) {
	c := r.peek()
	switch f.kind {
	case protoreflect.BoolKind:
		switch c {
		case 't':
			on = r.word("true")
			return protoreflect.ValueOfBool(true), on, on
		case 'f':
			on = r.word("false")
			return protoreflect.ValueOfBool(false), on, on
		}
		return v, false, r.wrongType("true or false")
	case protoreflect.StringKind:
		if c != '"' {
			return v, false, r.wrongType("a string")
		}
		text, ok := r.text()
		return protoreflect.ValueOfString(string(text)), ok, ok
	case protoreflect.BytesKind:
		return r.bytes()
	case protoreflect.EnumKind:
		return r.enum(f)
	default:
		return r.number(f)
	}
}

// number reads a number that has no entered text beside it.
func (r *reader) number(f *field) (v protoreflect.Value, ok, on bool) {
	if r.got() != "a number" {
		return v, false, r.wrongType("a number")
	}
	literal, whole, ok := r.scanner.number()
	if !ok {
		return v, false, false
	}
	v, fits := parseNumber(f.kind, string(literal))
	switch {
	case fits:
		return v, true, true
	case whole || f.kind == protoreflect.FloatKind || f.kind == protoreflect.DoubleKind:
		return v, false, r.refuse("value.out_of_type", "does not fit the field's type ("+f.kind.String()+")")
	default:
		return v, false, r.refuse("field.type", "an integer is expected, got a number with a point or an exponent")
	}
}

// enteredNumber reads a number whose text is kept. The text is stored when the
// object has ended, because the body may give the text itself.
func (r *reader) enteredNumber(m protoreflect.Message, f *field) bool {
	if r.got() != "a number" {
		return r.wrongType("a number")
	}
	literal, _, ok := r.scanner.number()
	if !ok {
		return false
	}
	text := string(literal)
	if !sourcevalue.ValidNumber(text) {
		return r.refuse("value.malformed", "must have at most 40 characters and an exponent within -30 to 30")
	}
	v, fits := parseNumber(f.kind, text)
	if fits {
		m.Set(f.fd, v)
	}
	r.sources = append(r.sources, source{into: f.entered, of: f, literal: text, fits: fits})
	return true
}

// parseNumber gives the value of a literal if the type can hold it: an integer
// exactly, a float to the nearest.
func parseNumber(kind protoreflect.Kind, literal string) (v protoreflect.Value, fits bool) {
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		n, err := strconv.ParseInt(literal, 10, 32)
		return protoreflect.ValueOfInt32(int32(n)), err == nil
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		n, err := strconv.ParseInt(literal, 10, 64)
		return protoreflect.ValueOfInt64(n), err == nil
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		n, err := strconv.ParseUint(literal, 10, 32)
		return protoreflect.ValueOfUint32(uint32(n)), err == nil
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		n, err := strconv.ParseUint(literal, 10, 64)
		return protoreflect.ValueOfUint64(n), err == nil
	case protoreflect.FloatKind:
		f, err := strconv.ParseFloat(literal, 32)
		return protoreflect.ValueOfFloat32(float32(f)), err == nil
	default:
		f, err := strconv.ParseFloat(literal, 64)
		return protoreflect.ValueOfFloat64(f), err == nil
	}
}

func (r *reader) bytes() (v protoreflect.Value, ok, on bool) {
	if r.peek() != '"' {
		return v, false, r.wrongType("a base64 string")
	}
	text, ok := r.text()
	if !ok {
		return v, false, false
	}
	data, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err != nil {
		return v, false, r.refuse("bytes.malformed", "must be standard base64 with padding")
	}
	return protoreflect.ValueOfBytes(data), true, true
}

func (r *reader) enum(f *field) (v protoreflect.Value, ok, on bool) {
	if r.peek() != '"' {
		return v, false, r.wrongType("one of the names " + names(f.enum))
	}
	text, ok := r.text()
	if !ok {
		return v, false, false
	}
	value := f.enum.Values().ByName(protoreflect.Name(text))
	if value == nil {
		return v, false, r.refuse("enum.unknown", "must be one of "+names(f.enum))
	}
	return protoreflect.ValueOfEnum(value.Number()), true, true
}

// instant reads a time; ok says that it is one.
func (r *reader) instant() (t time.Time, literal string, ok, on bool) {
	if r.peek() != '"' {
		return t, "", false, r.wrongType("an RFC 3339 string")
	}
	text, ok := r.text()
	if !ok {
		return t, "", false, false
	}
	literal = string(text)
	t, err := sourcevalue.ParseTime(literal)
	if err != nil {
		return t, "", false, r.refuse("time.malformed", err.Error())
	}
	return t, literal, true, true
}

// timestamp reads a Timestamp field and keeps its text.
func (r *reader) timestamp(m protoreflect.Message, f *field) bool {
	t, literal, ok, on := r.instant()
	if !ok {
		return on
	}
	sourcevalue.SetTime(m.Mutable(f.fd).Message(), t)
	if f.text != nil {
		r.sources = append(r.sources, source{into: f.text, of: f, literal: literal, fits: true})
	}
	return true
}
