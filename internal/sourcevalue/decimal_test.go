package sourcevalue

import (
	"strconv"
	"testing"

	"github.com/cockroachdb/apd/v3"
	"pgregory.net/rapid"
)

// numberText draws texts near everything that matters: halves, limits of the
// types, long runs of zeros and nines.
var numberText = rapid.Custom(func(t *rapid.T) string {
	text := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign") +
		rapid.SampledFrom([]string{"0", "1", "2", "9", "100", "2147483647", "2147483648", "4294967295", "9223372036854775807",
			"9223372036854775808", "18446744073709551615", "18446744073709551616", "99999999999999999999"}).Draw(t, "whole") +
		rapid.SampledFrom([]string{"", ".5", ".50", ".0", ".49999", ".5000001", ".000", ".25", ".99"}).Draw(t, "fraction")
	if rapid.Bool().Draw(t, "power") {
		text += "e" + strconv.Itoa(rapid.IntRange(-MaxNumberPower, MaxNumberPower).Draw(t, "exponent"))
	}
	return text
})

// apd is the decimal library of the services; here it is the judge.
func TestDecimalAgreesWithApd(t *testing.T) {
	rounding := apd.BaseContext.WithPrecision(200)
	rounding.Rounding = apd.RoundHalfEven
	rapid.Check(t, func(t *rapid.T) {
		text := numberText.Draw(t, "text")
		ours, ok := readDecimal(text, MaxNumberPower)
		if !ok {
			t.Fatalf("refused %s", text)
		}
		exact, _, err := apd.NewFromString(text)
		if err != nil {
			t.Fatal(err)
		}
		var whole apd.Decimal
		if _, err := rounding.RoundToIntegralValue(&whole, exact); err != nil {
			t.Fatal(err)
		}
		want := whole.Text('f')
		if whole.IsZero() {
			want = "0"
		}
		for _, bits := range []int{32, 64} {
			signed, fits := ours.signed(bits)
			n, err := strconv.ParseInt(want, 10, bits)
			if fits != (err == nil) || fits && signed != n {
				t.Fatalf("%s as int%d: got %d %v, want %s", text, bits, signed, fits, want)
			}
			unsigned, fits := ours.unsigned(bits)
			u, err := strconv.ParseUint(want, 10, bits)
			if fits != (err == nil) || fits && unsigned != u {
				t.Fatalf("%s as uint%d: got %d %v, want %s", text, bits, unsigned, fits, want)
			}
		}
		if got := ours.exp >= 0; got != (exact.Cmp(&whole) == 0) {
			t.Fatalf("%s: exact = %v", text, got)
		}
	})
}

func TestSameNumberAgreesWithApd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := numberText.Draw(t, "a"), numberText.Draw(t, "b")
		x, _, _ := apd.NewFromString(a)
		y, _, _ := apd.NewFromString(b)
		if SameNumber(a, b) != (x.Cmp(y) == 0) {
			t.Fatalf("%s, %s: %v", a, b, SameNumber(a, b))
		}
	})
	for _, same := range [][2]string{{"120", "120.0"}, {"1.2e2", "120"}, {"0", "-0.00"}, {"0e5", "0"}, {"37.2", "3720e-2"}} {
		if !SameNumber(same[0], same[1]) {
			t.Errorf("%s and %s", same[0], same[1])
		}
	}
	if SameNumber("x", "x") || SameNumber("1", "-1") || SameNumber("12", "1.2") {
		t.Error("unequal or invalid texts taken for the same number")
	}
}
