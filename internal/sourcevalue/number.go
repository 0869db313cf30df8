package sourcevalue

import (
	"math"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// numberField is one X of a message with its siblings; entered and rounded may
// be nil. A float without an entered field is here too: it must be finite.
type numberField struct {
	x, entered, rounded protoreflect.FieldDescriptor
}

func isNumber(kind protoreflect.Kind) bool {
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind,
		protoreflect.Uint32Kind, protoreflect.Fixed32Kind,
		protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return true
	default:
		return isFloat(kind)
	}
}

func isFloat(kind protoreflect.Kind) bool {
	return kind == protoreflect.FloatKind || kind == protoreflect.DoubleKind
}

func isFinite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

func (w *walk) number(m protoreflect.Message, f *numberField) {
	has := m.Has(f.x)
	if has && isFloat(f.x.Kind()) && !isFinite(m.Get(f.x).Float()) {
		w.refuse(f.x, "value.not_finite", "must be a finite number")
		return
	}
	if f.entered == nil {
		return
	}
	text := m.Get(f.entered).String()
	if text == "" {
		if has {
			w.enter(m, f)
		}
		setRounded(m, f, false)
		return
	}
	w.derive(m, f, text, has)
}

// enter fills the entered text from the number, for callers that know only the
// typed field.
func (w *walk) enter(m protoreflect.Message, f *numberField) {
	var buf [32]byte
	text := string(appendNumber(buf[:0], f.x.Kind(), m.Get(f.x)))
	if !ValidNumber(text) {
		w.refuse(f.x, "value.out_of_type", "must be 0 or lie between 1e-30 and 1e31 (either sign)")
		return
	}
	m.Set(f.entered, protoreflect.ValueOfString(text))
}

// derive fills the number from the text, or holds the two against each other.
func (w *walk) derive(m protoreflect.Message, f *numberField, text string, has bool) {
	d, ok := readDecimal(text, MaxNumberPower)
	if !ok {
		w.refuse(f.entered, "value.malformed",
			"must be a decimal number as JSON writes it, at most 40 characters, exponent within -30 to 30")
		return
	}
	v, exact, ok := fromDecimal(f.x.Kind(), text, &d)
	switch {
	case !ok:
		w.refuse(f.x, "value.out_of_type", "the number in "+w.at(f.entered)+" does not fit; "+rangeOf(f.x.Kind()))
		return
	case has && !v.Equal(m.Get(f.x)):
		w.refuse(f.x, "value.disagrees", "is not the number that "+w.at(f.entered)+" says; send one of the two, or the same in both")
		return
	case !has:
		if other := rival(m, f.x); other != nil {
			w.refuse(f.x, "value.disagrees", w.at(f.entered)+" is given, but "+w.at(other)+" is set in its place; send one of the two")
			return
		}
		m.Set(f.x, v)
	}
	setRounded(m, f, !exact)
}

// rival is the other member that is set in the oneof of an unset field.
func rival(m protoreflect.Message, fd protoreflect.FieldDescriptor) protoreflect.FieldDescriptor {
	if oneof := fd.ContainingOneof(); oneof != nil {
		return m.WhichOneof(oneof)
	}
	return nil
}

func setRounded(m protoreflect.Message, f *numberField, rounded bool) {
	if f.rounded != nil && (rounded || m.Has(f.rounded)) {
		m.Set(f.rounded, protoreflect.ValueOfBool(rounded))
	}
}

// fromDecimal gives the value of a field of this kind: integers half-even,
// floats the nearest. exact is false when the field says another number than
// the text. For a float that means: its shortest text does; no float is 37.2,
// but the one that prints as 37.2 has lost nothing.
func fromDecimal(kind protoreflect.Kind, text string, d *decimal) (v protoreflect.Value, exact, ok bool) {
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		i, ok := d.signed(32)
		return protoreflect.ValueOfInt32(int32(i)), d.exp >= 0, ok // #nosec G115 -- signed(32) is within 32 bits
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		i, ok := d.signed(64)
		return protoreflect.ValueOfInt64(i), d.exp >= 0, ok
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		u, ok := d.unsigned(32)
		return protoreflect.ValueOfUint32(uint32(u)), d.exp >= 0, ok // #nosec G115 -- unsigned(32) is within 32 bits
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		u, ok := d.unsigned(64)
		return protoreflect.ValueOfUint64(u), d.exp >= 0, ok
	case protoreflect.FloatKind:
		f, err := strconv.ParseFloat(text, 32)
		return protoreflect.ValueOfFloat32(float32(f)), printsAs(f, 32, text, d), err == nil
	default:
		f, err := strconv.ParseFloat(text, 64)
		return protoreflect.ValueOfFloat64(f), printsAs(f, 64, text, d), err == nil
	}
}

func printsAs(f float64, bits int, text string, d *decimal) bool {
	var buf [32]byte
	shortest := AppendFloat(buf[:0], f, bits)
	if string(shortest) == text {
		return true
	}
	const anyPower = 400
	s, ok := readDecimal(string(shortest), anyPower)
	return ok && s.equal(d)
}

func appendNumber(dst []byte, kind protoreflect.Kind, v protoreflect.Value) []byte {
	switch kind {
	case protoreflect.FloatKind:
		return AppendFloat(dst, v.Float(), 32)
	case protoreflect.DoubleKind:
		return AppendFloat(dst, v.Float(), 64)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return strconv.AppendUint(dst, v.Uint(), 10)
	default:
		return strconv.AppendInt(dst, v.Int(), 10)
	}
}

// AppendFloat appends the shortest decimal text that reads back as the same
// float of 32 or 64 bits, as JSON: plain from 1e-6 up to 1e21, with an exponent
// beyond. f must be finite.
func AppendFloat(dst []byte, f float64, bits int) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, bits)
}

func rangeOf(kind protoreflect.Kind) string {
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return "the field holds -2147483648 to 2147483647"
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return "the field holds -9223372036854775808 to 9223372036854775807"
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return "the field holds 0 to 4294967295"
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return "the field holds 0 to 18446744073709551615"
	case protoreflect.FloatKind:
		return "the field holds numbers up to 3.4e38"
	default:
		return "the field holds numbers up to 1.7e308"
	}
}
