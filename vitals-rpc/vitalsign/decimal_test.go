package vitalsign

import (
	"errors"
	"math"
	"math/big"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"clinsource/internal/corpus"

	"github.com/cockroachdb/apd/v3"
	"pgregory.net/rapid"
)

func TestParseDecimal(t *testing.T) {
	for _, text := range []string{"0", "-0", "0.0", "37.00", "1e2", "1E+2", "1.50e-3", "-12.5", "0e50", "9e-50", strings.Repeat("9", 40)} {
		d, err := ParseDecimal(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		want, _ := new(big.Rat).SetString(text)
		if got, _ := new(big.Rat).SetString(d.Text('e')); got.Cmp(want) != 0 {
			t.Errorf("%q is read as %s", text, d)
		}
	}
	for text, want := range map[string]error{
		"": ErrMalformed, "-": ErrMalformed, ".5": ErrMalformed, "5.": ErrMalformed, "01": ErrMalformed, "-00": ErrMalformed,
		"1e": ErrMalformed, "1e+": ErrMalformed, "1e2.5": ErrMalformed, "1e51": ErrMalformed, "1e-51": ErrMalformed,
		"1e99999999999999999999": ErrMalformed, "0x10": ErrMalformed, "1_000": ErrMalformed, "1 ": ErrMalformed,
		"37,0": ErrMalformed, "--1": ErrMalformed, "１": ErrMalformed, "null": ErrMalformed, strings.Repeat("9", 41): ErrMalformed,
		"nan": ErrNotFinite, "NaN": ErrNotFinite, "Inf": ErrNotFinite, "-INFINITY": ErrNotFinite, "+Inf": ErrNotFinite, "--Inf": ErrMalformed,
	} {
		if _, err := ParseDecimal(text); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

func TestRoundInt32(t *testing.T) {
	for _, c := range []struct {
		text    string
		want    int32
		rounded bool
		err     error
	}{
		{"120", 120, false, nil}, {"120.0", 120, false, nil}, {"1.2e2", 120, false, nil}, {"-0", 0, false, nil},
		{"100.67", 101, true, nil}, {"0.5", 0, true, nil}, {"1.5", 2, true, nil}, {"2.5", 2, true, nil}, {"-2.5", -2, true, nil},
		{"2.500000000000000000000000000000000001", 3, true, nil}, {"1e-50", 0, true, nil},
		{"2147483647", math.MaxInt32, false, nil}, {"2147483647.4", math.MaxInt32, true, nil}, {"-2147483648", math.MinInt32, false, nil},
		{"2147483647.5", 0, false, ErrOutOfRange}, {"-2147483649", 0, false, ErrOutOfRange}, {"1e50", 0, false, ErrOutOfRange},
		{"9999999999999999999999999999999999999e50", 0, false, ErrOutOfRange},
		{"NaN", 0, false, ErrNotFinite}, {"12a", 0, false, ErrMalformed},
	} {
		v, rounded, err := RoundInt32(c.text)
		if v != c.want || rounded != c.rounded || !errors.Is(err, c.err) {
			t.Errorf("%s: %d %v %v, want %d %v %v", c.text, v, rounded, err, c.want, c.rounded, c.err)
		}
	}
}

func TestRoundFloat32(t *testing.T) {
	for _, c := range []struct {
		text    string
		want    float32
		rounded bool
		err     error
	}{
		{"37.2", 37.2, false, nil}, {"37.20", 37.2, false, nil}, {"3.72e1", 37.2, false, nil}, {"98.6", 98.6, false, nil},
		{"37.123456789", 37.123456789, true, nil}, {"16777217", 16777216, true, nil}, {"1e-50", 0, true, nil}, {"0", 0, false, nil},
		{"1e39", 0, false, ErrOutOfRange}, {"Inf", 0, false, ErrNotFinite}, {"0x1p-2", 0, false, ErrMalformed},
	} {
		v, rounded, err := RoundFloat32(c.text)
		if v != c.want || rounded != c.rounded || !errors.Is(err, c.err) {
			t.Errorf("%s: %v %v %v, want %v %v %v", c.text, v, rounded, err, c.want, c.rounded, c.err)
		}
	}
}

// Every float32 has a text that Judge can read, and reads back as itself.
func TestFormatFloat32(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := math.Float32frombits(rapid.Uint32().Draw(t, "bits"))
		text := FormatFloat32(v)
		back, rounded, err := RoundFloat32(text)
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			if !errors.Is(err, ErrNotFinite) {
				t.Fatalf("%s: %v, want %v", text, err, ErrNotFinite)
			}
		} else if err != nil || rounded || math.Float32bits(back) != math.Float32bits(v) {
			t.Fatalf("%s comes back as %v, rounded %v, %v", text, back, rounded, err)
		}
	})
	for v, want := range map[float32]string{37.2: "37.2", 98.6: "98.6", 0: "0", -math.MaxFloat32: "-3.4028235e+38", math.SmallestNonzeroFloat32: "1e-45"} {
		if got := FormatFloat32(v); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestFahrenheitVectors holds the 351 values from 80.0 to 115.0 Fahrenheit,
// converted elsewhere, against ours. Those beyond the hard limit are refused
// and converted below Judge.
func TestFahrenheitVectors(t *testing.T) {
	rows := corpus.Table(t, filepath.Join(corpus.Shared(t, "facts"), "f2c_vectors.tsv"))
	if len(rows) != 351 {
		t.Fatalf("%d vectors, want 351", len(rows))
	}
	f := inForce.fields["temperature.value"]
	for _, row := range rows {
		entered := row["fahrenheit"]
		got := canonical(t, f, f.unitNamed("FAHRENHEIT"), entered)
		if got != row["celsius_2dp_half_even"] {
			t.Errorf("%s F is %s C, want %s", entered, got, row["celsius_2dp_half_even"])
		}
		if v := Judge(upload(temp(entered, "FAHRENHEIT")), now); !v.Refused() && v.Measurements[0].Canonical != got {
			t.Errorf("%s F is judged as %s C, want %s", entered, v.Measurements[0].Canonical, got)
		}
		if back := fahrenheit(got); back != row["back_to_F_1dp"] || back != entered {
			t.Errorf("%s F comes back as %s", entered, back)
		}
	}
}

// Every temperature with one decimal Fahrenheit, every weight with three
// decimals in pounds comes back from its canonical text.
func TestConversionsComeBack(t *testing.T) {
	f := inForce.fields["temperature.value"]
	for tenths := 770; tenths <= 1130; tenths++ {
		entered := strconv.FormatFloat(float64(tenths)/10, 'f', 1, 64)
		if back := fahrenheit(canonical(t, f, f.unitNamed("FAHRENHEIT"), entered)); back != entered {
			t.Errorf("%s F comes back as %s", entered, back)
		}
	}
	w := inForce.fields["body_weight.value"]
	pound := big.NewRat(45359237, 100000000)
	rapid.Check(t, func(t *rapid.T) {
		entered := new(big.Rat).SetFrac64(rapid.Int64Range(1000, 1433000).Draw(t, "thousandths"), 1000).FloatString(3)
		kg, _ := new(big.Rat).SetString(canonical(t, w, w.unitNamed("POUND"), entered))
		if back := kg.Quo(kg, pound).FloatString(3); back != entered {
			t.Fatalf("%s lb comes back as %s", entered, back)
		}
	})
}

// The factors, digit for digit: canonical times Den of one unit.
func TestFactors(t *testing.T) {
	for _, c := range []struct{ path, ucum, want string }{
		{"body_weight.value", "[lb_av]", "0.45359237"}, {"body_weight.value", "g", "1"}, {"body_weight.value", "kg", "1"},
		{"temperature.value", "[degF]", "-155"}, {"temperature.value", "Cel", "1"},
		{"blood_pressure.systolic", "kPa", "1000"}, {"oxygen_saturation.percent", "1", "100"},
	} {
		for _, u := range inForce.fields[c.path].units {
			var scaled apd.Decimal
			if u.UCUM != c.ucum {
				continue
			}
			if err := u.scale(&scaled, apd.New(1, 0)); err != nil || scaled.Text('f') != c.want {
				t.Errorf("1 %s is %s, want %s, %v", c.ucum, &scaled, c.want, err)
			}
		}
	}
}

func canonical(t interface{ Fatal(...any) }, f *field, u *unit, entered string) string {
	number, err := ParseDecimal(entered)
	if err != nil {
		t.Fatal(err)
	}
	var scaled apd.Decimal
	if err := u.scale(&scaled, number); err != nil {
		t.Fatal(err)
	}
	text, err := u.canonicalText(&scaled, f.sign.Places)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// fahrenheit converts back with rationals, sharing no code with the package.
func fahrenheit(celsius string) string {
	c, _ := new(big.Rat).SetString(celsius)
	c.Mul(c, big.NewRat(9, 5))
	return c.Add(c, big.NewRat(32, 1)).FloatString(1)
}
