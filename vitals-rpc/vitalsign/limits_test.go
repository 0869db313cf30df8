package vitalsign

import (
	"math/big"
	"path/filepath"
	"strings"
	"testing"

	"clinsource/internal/corpus"
)

// The limits are the sourced ones, number for number: those of the canonical
// units by the file, those in Fahrenheit by conversion.
func TestLimitsAreTheSourcedOnes(t *testing.T) {
	paths := map[string]string{
		"systolic": "blood_pressure.systolic", "diastolic": "blood_pressure.diastolic", "temperature": "temperature.value",
		"heart_rate": "heart_rate.beats_per_minute", "resp_rate": "respiratory_rate.breaths_per_minute",
		"spo2": "oxygen_saturation.percent", "weight": "body_weight.value",
	}
	checked := 0
	for _, row := range corpus.Table(t, filepath.Join(corpus.Shared(t, "facts"), "limits.tsv")) {
		path, ours := paths[row["sign"]]
		if !ours {
			continue
		}
		f := inForce.fields[path]
		for _, u := range f.units {
			if u.UCUM != row["ucum"] {
				continue
			}
			checked++
			for _, c := range []struct{ got, low, high string }{
				{u.refuseText, row["refuse_below"], row["refuse_above"]},
				{u.queryText, row["query_below"], row["query_above"]},
			} {
				words := strings.Fields(c.got)
				if !sameNumber(words[0], c.low) || !sameNumber(words[2], c.high) {
					t.Errorf("%s in %s: %s, want %s to %s", path, u.UCUM, c.got, c.low, c.high)
				}
			}
		}
		if f.LOINC != row["loinc"] {
			t.Errorf("%s has LOINC %s, want %s", path, f.LOINC, row["loinc"])
		}
	}
	if checked != 8 {
		t.Errorf("%d rows were compared, want 8", checked)
	}
}

func sameNumber(a, b string) bool {
	x, okX := new(big.Rat).SetString(a)
	y, okY := new(big.Rat).SetString(b)
	return okX && okY && x.Cmp(y) == 0
}

func TestLimitsAreReadStrictly(t *testing.T) {
	edit := func(old, replacement string) string {
		if strings.Count(limitsTSV, old) < 1 {
			t.Fatalf("limits.tsv has no %q to spoil", old)
		}
		return strings.Replace(limitsTSV, old, replacement, 1)
	}
	weightRow := limitsTSV[strings.Index(limitsTSV, "body_weight"):]
	for name, c := range map[string]struct{ text, want string }{
		"empty":               {"", "line 1"},
		"no version":          {edit("# rule_version: vitals-2026.1\n", ""), "line 1"},
		"blank version":       {edit("vitals-2026.1", " "), "line 1"},
		"other columns":       {edit("ucum\t", "unit\t"), "line 2: the columns must be field"},
		"column missing":      {edit("\t30\t300\t70", "\t30\t300"), "line 3: 8 columns instead of 9"},
		"column too many":     {edit("adult default", "adult\tdefault"), "line 3: 10 columns"},
		"unknown sign":        {limitsTSV + strings.Replace(weightRow, "body_weight", "mood", 1), `line 11: no sign has a field "mood.value"`},
		"second row":          {limitsTSV + weightRow, "line 11: a second row for body_weight.value"},
		"row missing":         {strings.Replace(limitsTSV, weightRow, "", 1), "no row for body_weight.value"},
		"pulse row missing":   {edit("blood_pressure.pulse_pressure", "body_weight.value"), "line 5: body_weight.value is"},
		"blank line":          {limitsTSV + "\n", "line 11: 1 columns"},
		"other LOINC":         {edit("8867-4", "8310-5"), "line 7: heart_rate.beats_per_minute"},
		"display unit":        {edit("mm[Hg]", "mmHg"), `not "8480-6" in "mmHg"`},
		"no number":           {edit("\t25.0\t", "\t25,0\t"), "line 6: temperature.value refuse limits: lower"},
		"no refuse limits":    {edit("25.0\t45.0", "\t"), "line 6: temperature.value refuse limits"},
		"NaN":                 {edit("\t39.0\t", "\tNaN\t"), "line 6: temperature.value query limits: upper"},
		"query empty":         {edit("\t35.1\t", "\t\t"), "line 6: temperature.value query limits: lower"},
		"low above high":      {edit("25.0\t45.0", "45.0\t25.0"), "the lower must be below the upper"},
		"refuse inside query": {edit("25.0\t45.0", "25.0\t38.0"), "line 6: temperature.value: the query limits must lie inside"},
		"status missing":      {edit("engineering judgement; needs a physician's sign-off", ""), "line 3: blood_pressure.systolic: population and status"},
	} {
		_, err := load(signs, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not say %q", name, err, c.want)
		}
	}
	if rules, err := load(signs, limitsTSV); err != nil || rules.version != RuleVersion() || RuleVersion() == "" {
		t.Errorf("the file as shipped: %v, version %q", err, RuleVersion())
	}
}

// A seventh sign is one row here and one row there, and brings its rules along.
func TestSeventhSign(t *testing.T) {
	height := Sign{
		Name: "body_height", Short: "height", English: "body height", Chinese: "身高", LOINC: "8302-2",
		Fields: []Field{{Name: "value", LOINC: "8302-2", English: "body height", Chinese: "身高"}},
		Units:  []Unit{{Name: "CENTIMETER", UCUM: "cm"}, {Name: "INCH", UCUM: "[in_i]", Num: "2.54"}},
		Places: 2,
	}
	const row = "body_height.value\t8302-2\tcm\t20\t275\t120\t220\tadult default\tengineering judgement\n"
	rules, err := load(append(Signs(), height), limitsTSV+row)
	if err != nil {
		t.Fatal(err)
	}
	judge := func(entered, unit string) Verdict {
		in := upload(one("body_height.value", entered, unit))
		return rules.judge(&in, now)
	}
	v := judge("70", "INCH")
	expect(t, "70 in", v)
	if got := v.Measurements[0].Canonical; got != "177.80" {
		t.Errorf("70 in is %s cm", got)
	}
	expect(t, "178 in", judge("178", "INCH"), "refuse height.unit_suspect body_height.value,body_height.unit")
	expect(t, "276 cm", judge("276", "CENTIMETER"), "refuse body_height.value.range body_height.value")
	expect(t, "178 m", judge("178", "METER"), "refuse unit.unknown body_height.unit")
	if n := len(rules.signs[6].rules()); n != 2 {
		t.Errorf("%d rules explained, want 2", n)
	}

	for name, spoil := range map[string]func(*Sign){
		"unit INCH": func(s *Sign) {
			s.Units = []Unit{s.Units[0], {Name: "INCH", UCUM: "[in_i]", Num: "2,54"}}
		},
		"unit ratio": func(s *Sign) { s.History = &History{UnitRatio: "x"} },
	} {
		bad := height
		spoil(&bad)
		want, _, _ := strings.Cut(name, " ")
		if _, err := load(append(Signs(), bad), limitsTSV+row); err == nil || !strings.Contains(err.Error(), "body_height: "+want) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
