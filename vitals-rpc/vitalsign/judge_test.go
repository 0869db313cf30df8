package vitalsign

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"

	"clinsource/internal/judgement"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// The shorthands of this file: each gives the readings of one sign.
func bp(systolic, diastolic string) []Reading {
	return []Reading{
		{Sign: "blood_pressure", Path: "blood_pressure.systolic", Entered: systolic},
		{Sign: "blood_pressure", Path: "blood_pressure.diastolic", Entered: diastolic},
	}
}

func one(path, entered, unit string) []Reading {
	sign, _, _ := strings.Cut(path, ".")
	return []Reading{{Sign: sign, Path: path, Entered: entered, Unit: unit}}
}

func temp(entered, unit string) []Reading { return one("temperature.value", entered, unit) }
func weight(entered, unit string) []Reading {
	return one("body_weight.value", entered, unit)
}
func hr(entered string) []Reading   { return one("heart_rate.beats_per_minute", entered, "") }
func rr(entered string) []Reading   { return one("respiratory_rate.breaths_per_minute", entered, "") }
func spo2(entered string) []Reading { return one("oxygen_saturation.percent", entered, "") }

func upload(readings ...[]Reading) Upload {
	return Upload{Readings: slices.Concat(readings...), MeasuredAt: now.Add(-time.Hour), HasTime: true}
}

// found writes findings as "severity rule field,field" for comparison.
func found(v Verdict) []string {
	var out []string
	for _, f := range v.Findings {
		out = append(out, fmt.Sprintf("%s %s %s", f.Severity, f.Rule, strings.Join(f.Fields, ",")))
	}
	return out
}

func expect(t *testing.T, name string, v Verdict, want ...string) {
	t.Helper()
	if got := found(v); !slices.Equal(got, want) {
		t.Errorf("%s: found\n\t%s\nwant\n\t%s", name, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	if v.Refused() && (v.Measurements != nil || v.BloodPressureCategory != "") {
		t.Errorf("%s: a refused upload gives measurements", name)
	}
}

// Each range at its four boundaries: the limits are inside, one step beyond
// them is not. An empty text leaves a boundary out: there, another rule speaks.
func TestRangeBoundaries(t *testing.T) {
	for _, c := range []struct {
		path, unit             string
		refused, queried, fine [2]string
	}{
		{"heart_rate.beats_per_minute", "", [2]string{"19.99", "301"}, [2]string{"20", "300"}, [2]string{"41", "130"}},
		{"heart_rate.beats_per_minute", "", [2]string{"0", "1e50"}, [2]string{"40.9", "130.1"}, [2]string{"41.0", "1.3e2"}},
		{"respiratory_rate.breaths_per_minute", "", [2]string{"1", "121"}, [2]string{"2", "120"}, [2]string{"9", "24"}},
		{"respiratory_rate.breaths_per_minute", "", [2]string{"-5", "1e3"}, [2]string{"8", "24.01"}, [2]string{"9.00", "24.00"}},
		{"oxygen_saturation.percent", "", [2]string{"29.9", "100.1"}, [2]string{"30", "91.9"}, [2]string{"92", "100"}},
		{"temperature.value", "CELSIUS", [2]string{"24.99", "45.01"}, [2]string{"25", "45.0"}, [2]string{"35.1", "39"}},
		{"temperature.value", "CELSIUS", [2]string{"", ""}, [2]string{"35.0999", "39.001"}, [2]string{"35.10", "39.000"}},
		{"temperature.value", "FAHRENHEIT", [2]string{"76.99", "113.01"}, [2]string{"77", "113"}, [2]string{"95.18", "102.2"}},
		{"temperature.value", "FAHRENHEIT", [2]string{"", ""}, [2]string{"95.17", "102.21"}, [2]string{"95.2", "102.20"}},
		{"body_weight.value", "KILOGRAM", [2]string{"0.1999", ""}, [2]string{"0.2", "650"}, [2]string{"30", "250"}},
		{"body_weight.value", "GRAM", [2]string{"", "650000.1"}, [2]string{"200", "650000"}, [2]string{"30000", "250000"}},
		{"body_weight.value", "GRAM", [2]string{"", ""}, [2]string{"29999", "250000.1"}, [2]string{"30000.0", "2.5e5"}},
	} {
		for want, texts := range map[string][2]string{"refuse": c.refused, "query": c.queried, "": c.fine} {
			for _, entered := range texts {
				if entered == "" {
					continue
				}
				if got := severityOf(Judge(upload(one(c.path, entered, c.unit)), now), RangeRule(c.path)); got != want {
					t.Errorf("%s %s %s: %q, want %q", c.path, entered, c.unit, got, want)
				}
			}
		}
	}
}

func severityOf(v Verdict, rule string) string {
	for _, f := range v.Findings {
		if f.Rule == rule {
			return f.Severity.String()
		}
	}
	return ""
}

func TestBloodPressureRules(t *testing.T) {
	const both = " blood_pressure.systolic,blood_pressure.diastolic"
	for _, c := range []struct {
		systolic, diastolic string
		want                []string
	}{
		{"120", "80", nil},
		{"120.0", "8e1", nil},
		{"80", "80", []string{"refuse bp.sys_le_dia" + both}},
		{"80.01", "80", []string{"note value.rounded blood_pressure.systolic", "query bp.pulse_pressure" + both}},
		{"79", "80", []string{"refuse bp.sys_le_dia" + both}},
		{"90", "80", nil},
		{"89", "80", []string{"query bp.pulse_pressure" + both}},
		{"210", "60", nil},
		{"211", "60", []string{"query bp.pulse_pressure" + both}},
		{"219", "120", nil},
		{"220", "121", []string{"query blood_pressure.systolic.range blood_pressure.systolic",
			"query blood_pressure.diastolic.range blood_pressure.diastolic"}},
		{"70", "40", nil},
		{"69", "39", []string{"query blood_pressure.systolic.range blood_pressure.systolic",
			"query blood_pressure.diastolic.range blood_pressure.diastolic"}},
		{"300", "200", []string{"query blood_pressure.systolic.range blood_pressure.systolic",
			"query blood_pressure.diastolic.range blood_pressure.diastolic"}},
		{"301", "200.5", []string{"refuse blood_pressure.systolic.range blood_pressure.systolic",
			"refuse blood_pressure.diastolic.range blood_pressure.diastolic"}},
		{"301", "302", []string{"refuse blood_pressure.systolic.range blood_pressure.systolic",
			"refuse blood_pressure.diastolic.range blood_pressure.diastolic", "refuse bp.sys_le_dia" + both}},
		{"120", "", []string{"refuse value.missing blood_pressure.diastolic"}},
		{"", "", []string{"refuse value.missing blood_pressure.systolic", "refuse value.missing blood_pressure.diastolic"}},
		{"16", "5.3", []string{"refuse bp.unit_suspect blood_pressure.systolic", "refuse bp.unit_suspect blood_pressure.diastolic"}},
		{"200", "12", []string{"query blood_pressure.diastolic.range blood_pressure.diastolic",
			"query bp.unit_suspect blood_pressure.diastolic", "query bp.pulse_pressure" + both}},
	} {
		expect(t, c.systolic+"/"+c.diastolic, Judge(upload(bp(c.systolic, c.diastolic)), now), c.want...)
	}
	expect(t, "half a pressure", Judge(upload(bp("120", "80")[:1]), now),
		"refuse value.missing blood_pressure.diastolic")
}

func TestBloodPressureCategory(t *testing.T) {
	for _, c := range []struct {
		systolic, diastolic string
		want                BloodPressureCategory
	}{
		{"119", "79", Normal},
		{"119.99", "79.99", Normal},
		{"120", "79", Elevated},
		{"129.99", "79.9", Elevated},
		{"130", "79", HypertensionStage1},
		{"119", "80", HypertensionStage1},
		{"139.9", "89.9", HypertensionStage1},
		{"140", "79", HypertensionStage2},
		{"119", "90", HypertensionStage2},
		{"180", "120", HypertensionStage2},
		{"180.01", "79", HypertensiveCrisis},
		{"170", "120.01", HypertensiveCrisis},
		{"181", "121", HypertensiveCrisis},
		{"80", "40", Normal},
	} {
		if got := Judge(upload(bp(c.systolic, c.diastolic)), now).BloodPressureCategory; got != c.want {
			t.Errorf("%s/%s is %s, want %s", c.systolic, c.diastolic, got, c.want)
		}
	}
	if got := Judge(upload(hr("60")), now).BloodPressureCategory; got != "" {
		t.Errorf("no blood pressure has category %s", got)
	}
}

func TestUnitRules(t *testing.T) {
	const tempBoth, weightBoth = " temperature.value,temperature.unit", " body_weight.value,body_weight.unit"
	for _, c := range []struct {
		name     string
		readings []Reading
		want     []string
		says     string
	}{
		{"Fahrenheit as Celsius", temp("98.6", "CELSIUS"), []string{"refuse temp.unit_suspect" + tempBoth}, "FAHRENHEIT"},
		{"Celsius as Fahrenheit", temp("37", "FAHRENHEIT"), []string{"refuse temp.unit_suspect" + tempBoth}, "CELSIUS"},
		{"coldest Fahrenheit as Celsius", temp("77", "CELSIUS"), []string{"refuse temp.unit_suspect" + tempBoth}, "FAHRENHEIT"},
		{"neither", temp("60", "CELSIUS"), []string{"refuse temperature.value.range temperature.value"}, "25 to 45 CELSIUS"},
		{"below both", temp("-40", "FAHRENHEIT"), []string{"refuse temperature.value.range temperature.value"}, "77 to 113 FAHRENHEIT"},
		{"fraction", spo2("0.97"), []string{"refuse spo2.unit_suspect oxygen_saturation.percent"}, "a fraction of 1; convert the number to %"},
		{"whole fraction", spo2("1"), []string{"refuse spo2.unit_suspect oxygen_saturation.percent"}, "fraction"},
		{"no fraction", spo2("0.2"), []string{"refuse oxygen_saturation.percent.range oxygen_saturation.percent"}, "30 to 100 %"},
		{"grams as kilograms", weight("70000", "KILOGRAM"), []string{"refuse weight.unit_suspect" + weightBoth}, "possible as GRAM;"},
		{"kilograms as grams", weight("70", "GRAM"), []string{"refuse weight.unit_suspect" + weightBoth}, "KILOGRAM or POUND"},
		{"pounds as kilograms, impossible", weight("700", "KILOGRAM"), []string{"refuse weight.unit_suspect" + weightBoth}, "GRAM or POUND"},
		{"pounds as kilograms, rare", weight("300", "KILOGRAM"),
			[]string{"query body_weight.value.range body_weight.value", "query weight.unit_suspect" + weightBoth}, "POUND"},
		{"no kilograms, no grams, no pounds", weight("0.1", "KILOGRAM"),
			[]string{"refuse body_weight.value.range body_weight.value"}, "0.2 to 650 KILOGRAM"},
		{"pounds", weight("1433.0", "POUND"), []string{"query body_weight.value.range body_weight.value"}, "66.2 to 551.1 POUND"},
		{"too many pounds", weight("1433.005", "POUND"), []string{"refuse weight.unit_suspect" + weightBoth}, "GRAM"},
		{"unit of another sign", temp("37", "POUND"), []string{"refuse unit.unknown temperature.unit"}, "CELSIUS, FAHRENHEIT"},
		{"no unit", weight("70", ""), []string{"refuse unit.unknown body_weight.unit"}, "KILOGRAM, GRAM, POUND"},
		{"unspecified", weight("70", "WEIGHT_UNIT_UNSPECIFIED"), []string{"refuse unit.unknown body_weight.unit"}, ""},
		{"unit where none belongs", one("heart_rate.beats_per_minute", "60", "PER_MINUTE"), []string{"refuse unit.unknown heart_rate"}, "/min"},
		{"mistaken unit sent by name", one("oxygen_saturation.percent", "0.97", "a fraction of 1"), []string{"refuse unit.unknown oxygen_saturation"}, "%"},
		{"unit and number wrong", temp("x", "K"), []string{"refuse unit.unknown temperature.unit", "refuse value.malformed temperature.value"}, ""},
	} {
		v := Judge(upload(c.readings), now)
		expect(t, c.name, v, c.want...)
		if last := v.Findings[len(v.Findings)-1]; !strings.Contains(last.Message, c.says) {
			t.Errorf("%s: message %q does not say %q", c.name, last.Message, c.says)
		}
	}
}

func TestTextRules(t *testing.T) {
	for entered, rule := range map[string]string{
		"":                                       judgement.RuleValueMissing,
		" ":                                      RuleValueMalformed,
		"37,0":                                   RuleValueMalformed,
		"٣٧":                                     RuleValueMalformed,
		"1e309":                                  RuleValueMalformed,
		"+37":                                    RuleValueMalformed,
		strings.Repeat("3", MaxEnteredLength+1):  RuleValueMalformed,
		"37." + strings.Repeat("0", 38):          RuleValueMalformed,
		"NaN":                                    RuleValueNotFinite,
		"-Infinity":                              RuleValueNotFinite,
		"+Inf":                                   RuleValueNotFinite,
		"1e38":                                   RuleTemperatureRange,
		"-0":                                     RuleTemperatureRange,
		"0." + strings.Repeat("0", 32) + "1e-50": RuleTemperatureRange,
	} {
		v := Judge(upload(temp(entered, "CELSIUS")), now)
		expect(t, "temperature "+entered, v, "refuse "+rule+" temperature.value")
	}
	expect(t, "decimals of an integer field", Judge(upload(hr("60.4"), rr("15.0"), spo2("97.5")), now),
		"note value.rounded heart_rate.beats_per_minute")
}

func TestTimeRules(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		want []string
	}{
		{now, nil},
		{now.Add(time.Nanosecond), []string{"note time.skew measurement_time"}},
		{now.Add(5 * time.Minute), []string{"note time.skew measurement_time"}},
		{now.Add(5*time.Minute + time.Nanosecond), []string{"refuse time.future measurement_time"}},
		{now.AddDate(400, 0, 0), []string{"refuse time.future measurement_time"}},
		{time.Unix(0, 0), []string{"refuse time.zero measurement_time"}},
		{time.Unix(0, 0).In(time.FixedZone("", -5*3600)), []string{"refuse time.zero measurement_time"}},
		{time.Unix(0, 1), nil},
		{time.Date(1899, 12, 31, 23, 59, 59, 0, time.UTC), []string{"refuse time.zero measurement_time"}},
		{time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), nil},
		{time.Time{}, []string{"refuse time.zero measurement_time"}},
	} {
		in := upload(hr("60"))
		in.MeasuredAt = c.at
		expect(t, c.at.String(), Judge(in, now), c.want...)
	}
	in := upload(hr("60"))
	in.HasTime = false
	expect(t, "no time", Judge(in, now), "refuse time.missing measurement_time")
}

func TestRecordRules(t *testing.T) {
	expect(t, "nothing", Judge(Upload{}, now), "refuse time.missing measurement_time",
		"refuse record.empty blood_pressure,temperature,heart_rate,respiratory_rate,oxygen_saturation,body_weight")
	expect(t, "twice", Judge(upload(hr("60"), hr("61")), now), "refuse value.repeated heart_rate.beats_per_minute")
	expect(t, "unknown", Judge(upload(one("mood.value", "3", "")), now), "refuse field.unknown mood.value")
	expect(t, "path of another sign", Judge(upload([]Reading{{Sign: "temperature", Path: "heart_rate.beats_per_minute", Entered: "60"}}), now),
		"refuse field.unknown heart_rate.beats_per_minute")
	expect(t, "rates interchanged", Judge(upload(hr("42"), rr("72")), now),
		"query respiratory_rate.breaths_per_minute.range respiratory_rate.breaths_per_minute",
		"query hr.rr_interchanged heart_rate.beats_per_minute,respiratory_rate.breaths_per_minute")
	expect(t, "rates equal", Judge(upload(hr("41"), rr("41")), now),
		"query respiratory_rate.breaths_per_minute.range respiratory_rate.breaths_per_minute")
	expect(t, "everything at once", Judge(Upload{Readings: slices.Concat(bp("80", "120"), temp("98.6", "CELSIUS"), hr("NaN"), rr(""), spo2("101"))}, now),
		"refuse time.missing measurement_time",
		"refuse temp.unit_suspect temperature.value,temperature.unit",
		"refuse value.not_finite heart_rate.beats_per_minute",
		"refuse value.missing respiratory_rate.breaths_per_minute",
		"refuse oxygen_saturation.percent.range oxygen_saturation.percent",
		"refuse bp.sys_le_dia blood_pressure.systolic,blood_pressure.diastolic")
}

func TestHistoryRules(t *testing.T) {
	const change, suspect = "query weight.change body_weight.value", "query weight.unit_suspect body_weight.value,body_weight.unit"
	for _, c := range []struct {
		previous, entered, unit string
		days                    int
		want                    []string
	}{
		{"100", "110", "KILOGRAM", 30, nil},
		{"100", "110.01", "KILOGRAM", 30, []string{change}},
		{"100", "110.01", "KILOGRAM", 31, nil},
		{"100", "90", "KILOGRAM", 1, nil},
		{"100", "89.99", "KILOGRAM", 1, []string{change}},
		{"100", "89.99", "KILOGRAM", -30, []string{change}}, // a late entry: the stored one is newer
		{"100", "89990", "GRAM", 1, []string{change}},
		{"70.0000", "154.32", "KILOGRAM", 1, []string{change, suspect}},
		{"70", "154.32", "KILOGRAM", 4000, []string{suspect}},
		{"100", "209.437", "KILOGRAM", 4000, []string{suspect}}, // 2.2046 x 0.95 x 100
		{"100", "209.436", "KILOGRAM", 4000, nil},
		{"100", "231.483", "KILOGRAM", 4000, []string{suspect}}, // 2.2046 x 1.05 x 100
		{"100", "231.484", "KILOGRAM", 4000, nil},
		{"220.46", "95", "KILOGRAM", 4000, []string{suspect}},
		{"220.46", "94.9", "KILOGRAM", 4000, nil},
		{"220.46", "105", "KILOGRAM", 4000, []string{suspect}},
		{"220.46", "105.1", "KILOGRAM", 4000, nil},
		{"136", "300", "KILOGRAM", 4000, []string{"query body_weight.value.range body_weight.value", suspect}}, // once, not twice
		{"0", "70", "KILOGRAM", 1, nil},
	} {
		previous, err := ParseDecimal(c.previous)
		if err != nil {
			t.Fatal(err)
		}
		in := upload(weight(c.entered, c.unit))
		in.Previous = map[string]Previous{"body_weight.value": {previous, in.MeasuredAt.AddDate(0, 0, -c.days)}}
		expect(t, fmt.Sprintf("%s after %s kg, %d days", c.entered, c.previous, c.days), Judge(in, now), c.want...)
	}
	in := upload(weight("70", "KILOGRAM"))
	in.Previous = map[string]Previous{"body_weight.value": {nil, now}, "temperature.value": {apd.New(1, 0), now}}
	expect(t, "unknown previous", Judge(in, now))
}

func TestMeasurements(t *testing.T) {
	v := Judge(upload(bp("120.50", "8.0e1"), temp("98.6", "FAHRENHEIT"), weight("150", "POUND"), spo2("97.00")), now)
	want := []Measurement{
		{"blood_pressure", "blood_pressure.systolic", "120.50", "", "120.50", "mm[Hg]"},
		{"blood_pressure", "blood_pressure.diastolic", "8.0e1", "", "80", "mm[Hg]"},
		{"temperature", "temperature.value", "98.6", "FAHRENHEIT", "37.00", "Cel"},
		{"body_weight", "body_weight.value", "150", "POUND", "68.0389", "kg"}, // 68.0388555 exactly
		{"oxygen_saturation", "oxygen_saturation.percent", "97.00", "", "97.00", "%"},
	}
	if !slices.Equal(v.Measurements, want) {
		t.Errorf("measurements %v,\nwant %v", v.Measurements, want)
	}
	if v.Worst() != judgement.Note {
		t.Errorf("worst is %s, want note", v.Worst())
	}
}

// 36.105 and 36.115 Celsius are ties; 95.179 Fahrenheit rounds up to the limit
// but lies below it.
func TestCanonicalRounding(t *testing.T) {
	for entered, want := range map[string]string{"36.105": "36.10", "36.115": "36.12", "36.1150000000000000000000000000000001": "36.12", "36.1050000000000000000000000000000001": "36.11"} {
		if got := Judge(upload(temp(entered, "CELSIUS")), now).Measurements[0].Canonical; got != want {
			t.Errorf("%s: %s, want %s", entered, got, want)
		}
	}
	v := Judge(upload(temp("95.179", "FAHRENHEIT")), now)
	if v.Measurements[0].Canonical != "35.10" || v.Worst() != judgement.Query {
		t.Errorf("95.179 is stored as %s with %s: the limit must be held against the exact value", v.Measurements[0].Canonical, v.Worst())
	}
}
