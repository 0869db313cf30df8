package wirejson

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"clinsource/internal/sourcevalue"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Encoder holds the choices of one kind of answer; the zero Encoder is ready.
type Encoder struct {
	// Always names fields (vitals.UploadVitalsResponse.findings) that are written
	// even when empty: a list as [], a map as {}, a scalar without presence as its
	// zero. Messages, oneof members and optional fields are written when set, whatever
	// stands here.
	Always map[protoreflect.FullName]bool
}

// Encode gives msg as one JSON object without spaces, fields in the order of
// their numbers, map entries in the order of their keys. What is set is written;
// of the fields without presence those that are not zero, and also
//
//   - a number X whose X_entered is given: 0 was entered,
//   - an enum whose zero is a real value (CELSIUS) rather than *_UNSPECIFIED.
//
// Floats are the shortest text that reads back as the same float32 or float64,
// 64-bit integers are JSON numbers, times RFC 3339 in UTC with Z and the digits they
// need, bytes standard base64, an enum number without a name that number. Only
// the quote, the backslash and control characters are escaped. What JSON cannot
// say and sourcevalue.Complete refuses is null: NaN, infinities, a Timestamp out of range.
// Bytes that are not UTF-8 in a string become U+FFFD (the wire lets none through).
// Fields unknown to this binary are not written.
//
// The same message always gives the same bytes, and a new field that is
// unset leaves them as they were.
func Encode(msg proto.Message) []byte { return Encoder{}.AppendEncode(nil, msg) }

// AppendEncode appends what [Encode] gives to dst.
func AppendEncode(dst []byte, msg proto.Message) []byte { return Encoder{}.AppendEncode(dst, msg) }

// EncodeWithout is [Encode] without these fields of the top-level message, for
// hashes of what the caller sent rather than of what the server added.
func EncodeWithout(msg proto.Message, fields ...protoreflect.Name) []byte {
	return Encoder{}.message(make([]byte, 0, 512), msg.ProtoReflect(), fields)
}

// Encode is the package's Encode with this Encoder's choices.
func (e Encoder) Encode(msg proto.Message) []byte { return e.AppendEncode(nil, msg) }

// AppendEncode appends what Encode gives to dst.
func (e Encoder) AppendEncode(dst []byte, msg proto.Message) []byte {
	if dst == nil {
		dst = make([]byte, 0, 512)
	}
	return e.message(dst, msg.ProtoReflect(), nil)
}

func (e Encoder) message(dst []byte, m protoreflect.Message, without []protoreflect.Name) []byte {
	dst = append(dst, '{')
	start := len(dst)
	for _, f := range planOf(m.Descriptor()).fields {
		if !m.Has(f.fd) && !e.whenEmpty(m, f) || slices.Contains(without, f.fd.Name()) {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, f.label...)
		dst = e.field(dst, f, m.Get(f.fd))
	}
	return append(dst, '}')
}

// whenEmpty reports whether a field that is not set is written all the same.
func (e Encoder) whenEmpty(m protoreflect.Message, f *field) bool {
	if f.fd.HasPresence() {
		return false
	}
	if f.entered != nil && m.Get(f.entered.fd).String() != "" {
		return true
	}
	return f.meaningful0 && !f.list || len(e.Always) > 0 && e.Always[f.fd.FullName()]
}

func (e Encoder) field(dst []byte, f *field, v protoreflect.Value) []byte {
	switch {
	case f.isMap:
		return e.mapping(dst, f.value, v.Map())
	case f.list:
		dst = append(dst, '[')
		for i, list := 0, v.List(); i < list.Len(); i++ {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.single(dst, f, list.Get(i))
		}
		return append(dst, ']')
	default:
		return e.single(dst, f, v)
	}
}

func (e Encoder) mapping(dst []byte, value *field, entries protoreflect.Map) []byte {
	keys := make([]string, 0, entries.Len())
	entries.Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, key.String())
		return true
	})
	slices.Sort(keys)
	dst = append(dst, '{')
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, key), ':')
		dst = e.single(dst, value, entries.Get(protoreflect.ValueOfString(key).MapKey()))
	}
	return append(dst, '}')
}

// single appends one value: a singular field, an element or a map's value.
func (e Encoder) single(dst []byte, f *field, v protoreflect.Value) []byte {
	switch f.kind {
	case protoreflect.BoolKind:
		return strconv.AppendBool(dst, v.Bool())
	case protoreflect.StringKind:
		return appendString(dst, v.String())
	case protoreflect.BytesKind:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.Bytes())
		return append(dst, '"')
	case protoreflect.EnumKind:
		return appendEnum(dst, f.enum, v.Enum())
	case protoreflect.FloatKind:
		return appendFloat(dst, v.Float(), 32)
	case protoreflect.DoubleKind:
		return appendFloat(dst, v.Float(), 64)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return strconv.AppendUint(dst, v.Uint(), 10)
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if f.time {
			return appendTime(dst, v.Message())
		}
		return e.message(dst, v.Message(), nil)
	default:
		return strconv.AppendInt(dst, v.Int(), 10)
	}
}

func appendEnum(dst []byte, enum protoreflect.EnumDescriptor, n protoreflect.EnumNumber) []byte {
	value := enum.Values().ByNumber(n)
	if value == nil {
		return strconv.AppendInt(dst, int64(n), 10)
	}
	dst = append(dst, '"')
	dst = append(dst, value.Name()...)
	return append(dst, '"')
}

func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return sourcevalue.AppendFloat(dst, f, bits)
}

func appendTime(dst []byte, timestamp protoreflect.Message) []byte {
	t, ok := sourcevalue.TimeOf(timestamp)
	if !ok {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = sourcevalue.AppendTime(dst, t)
	return append(dst, '"')
}

// appendString quotes s and copies the runs between what must be escaped.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[from:i]...)
				dst = append(dst, "\uFFFD"...)
				from = i + 1
			}
			i += size
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			dst = append(dst, s[from:i]...)
			dst = appendEscape(dst, c)
			from = i + 1
		}
		i++
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	default:
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}
