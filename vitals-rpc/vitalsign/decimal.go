package vitalsign

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// MaxEnteredLength is the longest decimal text that is taken, in characters.
// No instrument needs half of it; a float64 with 17 digits takes 24.
const MaxEnteredLength = 40

// maxExponent bounds the exponent of an entered number. It is wide enough for
// the shortest text of every float32 (1e-45 to 3.4028235e38), so that what a
// client sent as a float is judged by its range, and narrow enough that no
// power of ten becomes work.
const maxExponent = 50

// The ways in which text is not a number. The texts name no value.
var (
	// ErrMalformed is anything that JSON would not take as a number, is longer
	// than MaxEnteredLength or has an exponent beyond 50.
	ErrMalformed = errors.New("not a decimal number as JSON writes it: " +
		"digits 0-9, at most one dot, no comma or blank, at most 40 characters, exponent from -50 to 50")
	// ErrNotFinite is NaN or an infinity in any spelling.
	ErrNotFinite = errors.New("not a finite number; leave the field out when there is no measurement")
	// ErrOutOfRange is a number that the wanted type cannot hold.
	ErrOutOfRange = errors.New("the number does not fit its type; check the value and its unit")
)

// arith does all arithmetic here. Sixty digits are enough to be exact: entered
// texts have at most 40 digits, a number inside any limit therefore at most 40
// decimals, and the longest factor (a pound in kilograms) adds 8. A quotient by
// 9 that is no tie at two decimals is at least 1e-41 away from one, which 60
// digits can tell, so rounding twice cannot go wrong.
var arith = apd.Context{
	Precision:   60,
	MaxExponent: apd.MaxExponent,
	MinExponent: apd.MinExponent,
	Traps:       apd.DefaultTraps,
	Rounding:    apd.RoundHalfEven,
}

// ParseDecimal reads a decimal number exactly, trailing zeros included. Its
// error is ErrMalformed or ErrNotFinite.
func ParseDecimal(text string) (*apd.Decimal, error) {
	d := new(apd.Decimal)
	if err := parseInto(d, text); err != nil {
		return nil, err
	}
	return d, nil
}

func parseInto(d *apd.Decimal, text string) error {
	if !isJSONNumber(text) {
		if isNotFinite(text) {
			return ErrNotFinite
		}
		return ErrMalformed
	}
	if _, _, err := d.SetString(text); err != nil {
		return ErrMalformed
	}
	return nil
}

// isJSONNumber holds text against the number grammar of RFC 8259 and the
// bounds on length and exponent.
func isJSONNumber(text string) bool {
	if len(text) > MaxEnteredLength {
		return false
	}
	s := strings.TrimPrefix(text, "-")
	n := digits(s)
	if n == 0 || n > 1 && s[0] == '0' {
		return false
	}
	s = s[n:]
	if s != "" && s[0] == '.' {
		n = digits(s[1:])
		if n == 0 {
			return false
		}
		s = s[1+n:]
	}
	if s == "" {
		return true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return false
	}
	s = s[1:]
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	if n = digits(s); n == 0 || n != len(s) {
		return false
	}
	exponent, err := strconv.Atoi(s)
	return err == nil && exponent <= maxExponent
}

// digits counts the ASCII digits that s begins with.
func digits(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return i
		}
	}
	return len(s)
}

func isNotFinite(text string) bool {
	s := strings.TrimLeft(text, "+-")
	return len(text)-len(s) <= 1 &&
		(strings.EqualFold(s, "nan") || strings.EqualFold(s, "inf") || strings.EqualFold(s, "infinity"))
}

// RoundInt32 rounds a decimal text half-even to an int32, for the typed field
// beside the text. Rounded tells whether the two differ as numbers. The error
// is ErrMalformed, ErrNotFinite or ErrOutOfRange.
func RoundInt32(text string) (v int32, rounded bool, err error) {
	var entered, whole apd.Decimal
	if err := parseInto(&entered, text); err != nil {
		return 0, false, err
	}
	if _, err := arith.Quantize(&whole, &entered, 0); err != nil {
		return 0, false, ErrOutOfRange
	}
	n, err := whole.Int64()
	if err != nil || n < math.MinInt32 || n > math.MaxInt32 {
		return 0, false, ErrOutOfRange
	}
	return int32(n), entered.Cmp(&whole) != 0, nil
}

// RoundFloat32 gives the float32 nearest to a decimal text, for the typed field
// beside the text. Rounded tells whether FormatFloat32 of it is another number
// than the text. The error is ErrMalformed, ErrNotFinite or ErrOutOfRange.
func RoundFloat32(text string) (v float32, rounded bool, err error) {
	var entered, back apd.Decimal
	if err := parseInto(&entered, text); err != nil {
		return 0, false, err
	}
	wide, err := strconv.ParseFloat(text, 32)
	if err != nil {
		return 0, false, ErrOutOfRange
	}
	if err := parseInto(&back, FormatFloat32(float32(wide))); err != nil {
		return 0, false, err
	}
	return float32(wide), entered.Cmp(&back) != 0, nil
}

// FormatFloat32 gives the shortest decimal text that reads back as v: what a
// client meant that sent 37.2 as a float. NaN and infinities give NaN, +Inf
// and -Inf, which Judge refuses.
func FormatFloat32(v float32) string {
	format := byte('f')
	if abs := math.Abs(float64(v)); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e' // as encoding/json does, so that no text is longer than MaxEnteredLength
	}
	return strconv.FormatFloat(float64(v), format, -1, 32)
}
