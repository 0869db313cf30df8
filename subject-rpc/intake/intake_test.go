package intake

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"clinsource/internal/judgement"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func coding(system, code, display string) *Coding {
	return &Coding{System: system, Code: code, Display: display}
}

// record is one that the rules take, changed.
func record(change ...func(*Record)) Record {
	start := now.AddDate(-3, 0, 0)
	r := Record{
		Medication: coding("http://www.whocc.no/atc", "N02BE01", "Paracetamol"), Route: coding("https://standardterms.edqm.eu", "20053000", ""),
		Dose: &Dose{Entered: "500", Value: 500, Unit: "mg"}, Start: &start,
	}
	for _, f := range change {
		f(&r)
	}
	return r
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
	refusal := slices.ContainsFunc(want, func(s string) bool { return strings.HasPrefix(s, "refuse ") })
	if v.Refused() != refusal {
		t.Errorf("%s: refused is %t", name, v.Refused())
	}
}

func TestInOrder(t *testing.T) {
	expect(t, "ongoing for years", Judge(record(), now))
}

func TestEverythingMissing(t *testing.T) {
	expect(t, "nothing", Judge(Record{}, now), "refuse value.missing medication", "refuse value.missing dose",
		"refuse value.missing route", "refuse time.missing start_time")
	expect(t, "all empty", Judge(Record{Medication: &Coding{}, Dose: &Dose{}, Route: &Coding{}}, now),
		"refuse value.missing medication.system", "refuse value.missing medication.code",
		"refuse value.missing dose.value", "refuse value.missing dose.ucum_unit",
		"refuse value.missing route.system", "refuse value.missing route.code", "refuse time.missing start_time")
}

func TestCodingRules(t *testing.T) {
	for name, c := range map[string]struct {
		coding *Coding
		want   []string // Behind "medication" and "route".
	}{
		"url":                {coding("http://loinc.org", "x", ""), nil},
		"urn":                {coding("urn:oid:2.16.840.1.113883.6.73", "a b", "显示"), nil},
		"a name":             {coding("ATC", "x", ""), []string{"coding.system_malformed %s.system"}},
		"no scheme":          {coding("://x", "x", ""), []string{"coding.system_malformed %s.system"}},
		"digit first":        {coding("1a:b", "x", ""), []string{"coding.system_malformed %s.system"}},
		"bad scheme":         {coding("a_b:c", "x", ""), []string{"coding.system_malformed %s.system"}},
		"scheme alone":       {coding("urn:", "x", ""), []string{"coding.system_malformed %s.system"}},
		"space in system":    {coding("urn:a b", "x", ""), []string{"coding.system_malformed %s.system"}},
		"no ASCII in system": {coding("urn:é", "x", ""), []string{"coding.system_malformed %s.system"}},
		"space after code":   {coding("urn:x", "x ", ""), []string{"coding.code_malformed %s.code"}},
		"control character":  {coding("urn:x", "a\nb", ""), []string{"coding.code_malformed %s.code"}},
		"code not UTF-8":     {coding("urn:x", "\xff", ""), []string{"text.not_utf8 %s.code"}},
		"display not UTF-8":  {coding("urn:x", "x", "\xff"), []string{"text.not_utf8 %s.display"}},
		"longest":            {coding("urn:"+strings.Repeat("a", 252), strings.Repeat("x", 128), strings.Repeat("x", 512)), nil},
		"too long": {coding("urn:"+strings.Repeat("a", 253), strings.Repeat("x", 129), strings.Repeat("x", 513)),
			[]string{"text.too_long %s.system", "text.too_long %s.code", "text.too_long %s.display"}},
	} {
		for _, field := range []string{"medication", "route"} {
			r := record()
			if field == "route" {
				r.Route = c.coding
			} else {
				r.Medication = c.coding
			}
			var want []string
			for _, w := range c.want {
				want = append(want, "refuse "+fmt.Sprintf(w, field))
			}
			expect(t, field+" "+name, Judge(r, now), want...)
		}
	}
}

func TestDoseRules(t *testing.T) {
	for name, c := range map[string]struct {
		dose Dose
		want []string
	}{
		"smallest":      {Dose{"1e-30", 1e-30, "ug"}, nil},
		"zero":          {Dose{"0.0", 0, "mg"}, []string{"refuse dose.not_positive dose.value"}},
		"negative":      {Dose{"-1", -1, "mg"}, []string{"refuse dose.not_positive dose.value"}},
		"NaN":           {Dose{"NaN", math.NaN(), "mg"}, []string{"refuse value.not_finite dose.value"}},
		"infinite":      {Dose{"1", math.Inf(1), "mg"}, []string{"refuse value.not_finite dose.value"}},
		"no value":      {Dose{"", 0, "mg"}, []string{"refuse value.missing dose.value"}},
		"no unit":       {Dose{"1", 1, ""}, []string{"refuse value.missing dose.ucum_unit"}},
		"both wrong":    {Dose{"0", 0, "m g"}, []string{"refuse dose.not_positive dose.value", "refuse dose.unit_malformed dose.ucum_unit"}},
		"longest unit":  {Dose{"1", 1, "{" + strings.Repeat("a", 62) + "}"}, nil},
		"unit too long": {Dose{"1", 1, "{" + strings.Repeat("a", 63) + "}"}, []string{"refuse dose.unit_malformed dose.ucum_unit"}},
		"mcg":           {Dose{"1", 1, "mcg"}, []string{"query dose.unit_suspect dose.ucum_unit"}},
		"IU":            {Dose{"1", 1, "IU"}, []string{"query dose.unit_suspect dose.ucum_unit"}},
		"Tablet":        {Dose{"1", 1, "Tablet"}, []string{"query dose.unit_suspect dose.ucum_unit"}},
		"display text":  {Dose{"1", 1, "mmHg"}, nil},
	} {
		d := c.dose
		expect(t, name, Judge(record(func(r *Record) { r.Dose = &d }), now), c.want...)
	}
}

func TestUnits(t *testing.T) {
	for _, unit := range []string{"mg", "mL", "{tbl}", "mg/kg", "/min", "10*6/L", "[IU]", "m[IU]/mL", "mg/(kg.d)", "{a[b]c}", "mg{creat}/d", "%", "((g))", "{}"} {
		if !isUnit(unit) {
			t.Errorf("%s is refused", unit)
		}
	}
	for _, unit := range []string{"m g", " mg", "mg ", "mg\n", "µg", "{tbl", "tbl}", "[IU", "IU]", "{[}]{", "{a{b}}", "[a[b]]", "(mg", "mg)", ")mg(", "mg/", "mg.", "mg/{", "\x00", "\x7f"} {
		if isUnit(unit) {
			t.Errorf("%q is taken", unit)
		}
	}
}

func TestTimeRules(t *testing.T) {
	at := func(d time.Duration) *time.Time { t := now.Add(d); return &t }
	epoch, first, before := time.Unix(0, 0), time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1899, 12, 31, 23, 59, 59, 0, time.UTC)
	for name, c := range map[string]struct {
		start, end *time.Time
		want       []string
	}{
		"one instant":              {at(0), at(0), nil},
		"oldest":                   {&first, nil, nil},
		"ended":                    {at(-time.Hour), at(-time.Minute), nil},
		"end before start":         {at(-time.Minute), at(-time.Minute - 1), []string{"refuse time.end_before_start start_time,end_time"}},
		"start a moment ahead":     {at(1), nil, []string{"note time.skew start_time"}},
		"start ahead":              {at(judgement.MaxAhead), nil, []string{"note time.skew start_time"}},
		"start in the future":      {at(judgement.MaxAhead + 1), nil, []string{"refuse time.future start_time"}},
		"end ahead":                {at(-time.Hour), at(judgement.MaxAhead), []string{"note time.skew end_time"}},
		"end in the future":        {at(-time.Hour), at(judgement.MaxAhead + 1), []string{"refuse time.future end_time"}},
		"start of an unset clock":  {&epoch, nil, []string{"refuse time.zero start_time"}},
		"start before 1900":        {&before, nil, []string{"refuse time.zero start_time"}},
		"zero end":                 {at(-time.Hour), &time.Time{}, []string{"refuse time.zero end_time", "refuse time.end_before_start start_time,end_time"}},
		"end without start":        {nil, at(-time.Hour), []string{"refuse time.missing start_time"}},
		"future end without start": {nil, at(time.Hour), []string{"refuse time.missing start_time", "refuse time.future end_time"}},
	} {
		expect(t, name, Judge(record(func(r *Record) { r.Start, r.End = c.start, c.end }), now), c.want...)
	}
}

// Every finding is explained, and none tells a value.
func TestRulesExplainWhatIsFound(t *testing.T) {
	explained := map[string]judgement.Rule{}
	for _, r := range Rules() {
		if _, twice := explained[r.ID]; twice || r.English == "" || r.Chinese == "" {
			t.Errorf("rule %s is explained twice or not in both languages", r.ID)
		}
		explained[r.ID] = r
	}
	const secret = "SECRET"
	start, ahead, zero := now.Add(time.Hour), now.Add(time.Minute), time.Time{}
	met := map[string]bool{}
	for _, r := range []Record{
		{},
		{Medication: coding(secret, " "+secret, secret+"\xff"), Dose: &Dose{"-7.25", -7.25, secret + " "}, Start: &start, End: &ahead},
		{Medication: coding(strings.Repeat(secret, 99), secret, ""), Dose: &Dose{"1", math.NaN(), "mcg"}, Start: &zero},
	} {
		for _, f := range Judge(r, now).Findings {
			met[f.Rule] = true
			if r, ok := explained[f.Rule]; !ok || !slices.Contains(r.Severities, f.Severity) {
				t.Errorf("rule %s is found as %s, explained as %s", f.Rule, f.Severity, r.Severities)
			}
			if strings.Contains(f.Message, secret) || strings.Contains(f.Message, "7.25") || strings.Contains(f.Message, "mcg") {
				t.Errorf("rule %s tells a value: %s", f.Rule, f.Message)
			}
		}
	}
	for id := range explained {
		if !met[id] {
			t.Errorf("rule %s is explained and never found", id)
		}
	}
}
