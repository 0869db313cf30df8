package vitalsign

import (
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"clinsource/internal/judgement"
)

// entered draws what a caller may send: numbers of every size, and text that
// is none.
func entered() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,4})(\.[0-9]{1,6})?([eE][+-]?[0-9]{1,2})?`),
		rapid.StringMatching(`[0-9]{1,3}(\.[0-9]{1,2})?`),
		rapid.SampledFrom([]string{"", "NaN", "-Infinity", "1e309", "37,0", "0.97", "0"}),
		rapid.String(),
	)
}

func anyPath() *rapid.Generator[string] {
	var paths []string
	for _, s := range signs {
		for _, f := range s.Fields {
			paths = append(paths, s.Name+"."+f.Name)
		}
	}
	return rapid.SampledFrom(append(paths, "mood.value", ""))
}

func anyUnit() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"", "CELSIUS", "FAHRENHEIT", "KILOGRAM", "GRAM", "POUND", "kPa", "WEIGHT_UNIT_UNSPECIFIED"})
}

func anyUpload(t *rapid.T) Upload {
	readings := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Reading {
		return one(anyPath().Draw(t, "path"), entered().Draw(t, "entered"), anyUnit().Draw(t, "unit"))[0]
	}), 0, 10).Draw(t, "readings")
	previous := Previous{MeasuredAt: now.AddDate(0, 0, -7)}
	if d, err := ParseDecimal(entered().Draw(t, "previous")); err == nil {
		previous.Canonical = d
	}
	return Upload{
		Readings:   readings,
		MeasuredAt: time.Unix(rapid.Int64().Draw(t, "seconds"), 0),
		HasTime:    rapid.Bool().Draw(t, "has time"),
		Previous:   map[string]Previous{"body_weight.value": previous},
	}
}

// Whatever comes: no panic, only explained rules, named fields, and
// measurements exactly when nothing is refused.
func TestVerdictIsWhole(t *testing.T) {
	known := map[string]judgement.Rule{}
	for _, r := range Rules() {
		known[r.ID] = r
	}
	rapid.Check(t, func(t *rapid.T) {
		in := anyUpload(t)
		v := Judge(in, now)
		for _, f := range v.Findings {
			if r, ok := known[f.Rule]; !ok || !slices.Contains(r.Severities, f.Severity) {
				t.Fatalf("%s %s is not explained", f.Severity, f.Rule)
			}
			if len(f.Fields) == 0 || f.Message == "" || f.RuleVersion != RuleVersion() {
				t.Fatalf("finding %+v is not whole", f)
			}
		}
		if v.Refused() != (len(v.Measurements) == 0) {
			t.Fatalf("refused %v with %d measurements", v.Refused(), len(v.Measurements))
		}
		if !v.Refused() && len(v.Measurements) != len(in.Readings) {
			t.Fatalf("%d of %d readings measured", len(v.Measurements), len(in.Readings))
		}
		for i, m := range v.Measurements {
			if r := in.Readings[i]; m.Path != r.Path || m.Entered != r.Entered || m.Unit != r.Unit {
				t.Fatalf("reading %+v became %+v", r, m)
			}
			if _, err := ParseDecimal(m.Canonical); err != nil || strings.ContainsAny(m.Canonical, "eE") {
				t.Fatalf("canonical %q: %v", m.Canonical, err)
			}
		}
	})
}

// Every reading that is bad by itself is named, however many others are.
func TestEveryBadFieldIsNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyUpload(t)
		named := map[string]bool{}
		for _, f := range Judge(in, now).Findings {
			if f.Severity == judgement.Refuse {
				for _, path := range f.Fields {
					named[path] = true
				}
			}
		}
		for _, r := range in.Readings {
			if bad(r) && !named[r.Path] && !named[r.Sign] && !named[r.Sign+".unit"] {
				t.Fatalf("%+v is not named in %v", r, named)
			}
		}
	})
}

// bad tells whether a reading cannot be stored.
func bad(r Reading) bool { return outside(r, hardLimits) }

// outside tells by rationals, sharing no code with Judge, whether a reading is
// no number in a known unit inside the limits.
func outside(r Reading, limits func(string) (low, high *big.Rat)) bool {
	for _, s := range signs {
		for _, f := range s.Fields {
			if s.Name+"."+f.Name != r.Path {
				continue
			}
			value, ok := new(big.Rat).SetString(r.Entered)
			if !ok || strings.ContainsAny(r.Entered, "/_xX") {
				return true
			}
			for _, u := range s.Units {
				if u.Name == r.Unit {
					value.Add(value, big.NewRat(u.Offset, 1))
					value.Mul(value, ratio(u.Num))
					value.Quo(value, ratio(u.Den))
					low, high := limits(r.Path)
					return value.Cmp(low) < 0 || value.Cmp(high) > 0
				}
			}
		}
	}
	return true
}

func ratio(text string) *big.Rat {
	if text == "" {
		text = "1"
	}
	r, _ := new(big.Rat).SetString(text)
	return r
}

// hardLimits and usualLimits read limits.tsv by themselves.
func hardLimits(path string) (low, high *big.Rat)  { return columns(path, 3) }
func usualLimits(path string) (low, high *big.Rat) { return columns(path, 5) }

func columns(path string, first int) (low, high *big.Rat) {
	for line := range strings.Lines(limitsTSV) {
		if cells := strings.Split(line, "\t"); cells[0] == path {
			return ratio(cells[first]), ratio(cells[first+1])
		}
	}
	return nil, nil
}

// Messages may go to logs: none holds what was entered.
func TestMessagesDoNotTellTheValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path, unit := anyPath().Draw(t, "path"), anyUnit().Draw(t, "unit")
		whole := rapid.StringMatching(`-?[1-9][0-9]{0,4}`).Draw(t, "whole")
		decimals := rapid.StringMatching(`[0-9]{11}[1-9]`).Draw(t, "decimals")
		spoiled := rapid.SampledFrom([]string{"", "x", ",", "e99"}).Draw(t, "spoiled")
		v := Judge(upload(one(path, whole+"."+decimals+spoiled, unit)), now)
		for _, f := range v.Findings {
			if strings.Contains(f.Message, decimals) {
				t.Fatalf("%s tells the value: %s", f.Rule, f.Message)
			}
		}
	})
}

// A vitals upload is judged once per request; the text of its numbers is all
// that Judge may parse.
func BenchmarkJudge(b *testing.B) {
	previous, err := ParseDecimal("70.2")
	if err != nil {
		b.Fatal(err)
	}
	ordinary := upload(bp("128", "81"), temp("98.6", "FAHRENHEIT"), hr("71"), rr("14"), spo2("98"), weight("70.5", "KILOGRAM"))
	ordinary.Previous = map[string]Previous{"body_weight.value": {previous, now.AddDate(0, 0, -7)}}
	for name, in := range map[string]Upload{
		"all six signs":  ordinary,
		"blood pressure": upload(bp("128", "81")),
		"all refused":    upload(bp("80", "120"), temp("98.6", "CELSIUS"), hr("NaN"), rr(""), spo2("0.97"), weight("70000", "KILOGRAM")),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Judge(in, now)
			}
		})
	}
}
