package sourcevalue

import "math"

// Limits of an entered number. 40 characters hold every device and every
// form we have seen (the longest in the foreign corpus has 21); together with the
// exponent they bound the work that one text can cause.
const (
	MaxNumberLen   = 40
	MaxNumberPower = 30
)

// decimal is the exact number that a text says: ±digits × 10^exp. Digits have
// no zeros at either end, so that two texts of one number (37.20, 3.72e1) give
// equal decimals; zero has no digits.
type decimal struct {
	digits [MaxNumberLen]byte
	n      int
	exp    int
	neg    bool
}

// ValidNumber reports whether text may stand in an X_entered field: a JSON
// number of at most MaxNumberLen characters with an exponent within
// ±MaxNumberPower.
func ValidNumber(text string) bool {
	_, ok := readDecimal(text, MaxNumberPower)
	return ok
}

// SameNumber reports whether two texts are valid and say the same number,
// however they write it: 120, 120.0 and 1.2e2 are the same.
func SameNumber(a, b string) bool {
	x, okX := readDecimal(a, MaxNumberPower)
	y, okY := readDecimal(b, MaxNumberPower)
	return okX && okY && x.equal(&y)
}

// readDecimal reads a JSON number; ok is false when the text is not one, is
// longer than MaxNumberLen or has an exponent beyond ±maxPower.
func readDecimal(s string, maxPower int) (d decimal, ok bool) {
	if s == "" || len(s) > MaxNumberLen {
		return d, false
	}
	i := 0
	if s[0] == '-' {
		d.neg = true
		i++
	}
	whole := i
	i = d.push(s, i)
	if i == whole || (s[whole] == '0' && i > whole+1) {
		return d, false
	}
	if i < len(s) && s[i] == '.' {
		fraction := i + 1
		i = d.push(s, fraction)
		if i == fraction {
			return d, false
		}
		d.exp = fraction - i
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		power, ok := readPower(s[i+1:], maxPower)
		if !ok {
			return d, false
		}
		d.exp += power
		i = len(s)
	}
	d.trim()
	return d, i == len(s)
}

// push appends the run of digits that starts at s[i] and returns its end.
func (d *decimal) push(s string, i int) int {
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if d.n == 0 && s[i] == '0' {
			continue
		}
		d.digits[d.n] = s[i]
		d.n++
	}
	return i
}

func (d *decimal) trim() {
	for d.n > 0 && d.digits[d.n-1] == '0' {
		d.n--
		d.exp++
	}
	if d.n == 0 {
		d.exp = 0
	}
}

func readPower(s string, limit int) (power int, ok bool) {
	neg := false
	if s != "" && (s[0] == '+' || s[0] == '-') {
		neg = s[0] == '-'
		s = s[1:]
	}
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if power = power*10 + int(s[i]-'0'); power > limit {
			return 0, false
		}
	}
	if neg {
		power = -power
	}
	return power, true
}

func (d *decimal) equal(o *decimal) bool {
	if d.n == 0 || o.n == 0 {
		return d.n == o.n
	}
	return d.neg == o.neg && d.exp == o.exp && string(d.digits[:d.n]) == string(o.digits[:o.n])
}

// integer gives the magnitude rounded half-even; ok is false when it does not
// fit 64 bits.
func (d *decimal) integer() (v uint64, ok bool) {
	whole := d.n + d.exp // digits before the decimal point
	if whole < 0 {
		return 0, true
	}
	for i := range whole {
		digit := uint64(0)
		if i < d.n {
			digit = uint64(d.digits[i] - '0')
		}
		if v > (math.MaxUint64-digit)/10 {
			return 0, false
		}
		v = v*10 + digit
	}
	if whole >= d.n {
		return v, true
	}
	// The last digit is never 0, so a second one behind a 5 is above the half.
	next, more := d.digits[whole], d.n > whole+1
	if next > '5' || next == '5' && (more || v&1 == 1) {
		if v == math.MaxUint64 {
			return 0, false
		}
		v++
	}
	return v, true
}

// signed and unsigned apply the sign and the type's range to integer.
func (d *decimal) signed(bits int) (int64, bool) {
	v, ok := d.integer()
	limit := uint64(1) << (bits - 1)
	switch {
	case !ok || v > limit || (v == limit && !d.neg):
		return 0, false
	case d.neg:
		return -int64(v), true // #nosec G115 -- v <= 2^63, and -(-2^63) is itself
	default:
		return int64(v), true // #nosec G115 -- v < 2^63
	}
}

func (d *decimal) unsigned(bits int) (uint64, bool) {
	v, ok := d.integer()
	if !ok || (d.neg && v > 0) || v > math.MaxUint64>>(64-bits) {
		return 0, false
	}
	return v, true
}
