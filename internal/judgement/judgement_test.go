package judgement

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// lines writes findings as "severity rule field" for comparison.
func lines(v Verdict) []string {
	var out []string
	for _, f := range v.Findings {
		out = append(out, f.Severity.String()+" "+f.Rule+" "+strings.Join(f.Fields, ","))
	}
	return out
}

func expect(t *testing.T, name string, c *Collector, want ...string) {
	t.Helper()
	if got := lines(c.Verdict); !slices.Equal(got, want) {
		t.Errorf("%s: found %q, want %q", name, got, want)
	}
}

func TestSeverityNames(t *testing.T) {
	for severity, want := range map[Severity]string{0: "none", Note: "note", Query: "query", Refuse: "refuse"} {
		if got := severity.String(); got != want {
			t.Errorf("severity %d is %q, want %q", int(severity), got, want)
		}
	}
}

func TestVerdict(t *testing.T) {
	c := Collector{RuleVersion: "7", Most: 3}
	for i, step := range []struct {
		find    func(rule, message string, fields ...string)
		worst   Severity
		refused bool
	}{{c.Query, Query, false}, {c.Note, Query, false}, {c.Refuse, Refuse, true}, {c.Note, Refuse, true}} {
		if step.find("r", "m", "a", "b"); c.Worst() != step.worst || c.Refused() != step.refused {
			t.Errorf("after step %d: worst %s, refused %t", i, c.Worst(), c.Refused())
		}
	}
	expect(t, "three at most, in order", &c, "query r a,b", "note r a,b", "refuse r a,b")
	if f := c.Findings[0]; f.RuleVersion != "7" || f.Message != "m" {
		t.Errorf("the finding lost its version or message: %+v", f)
	}
	if (Verdict{}).Worst() != 0 || (Verdict{}).Refused() {
		t.Error("a verdict without findings is not in order")
	}
	var unbounded Collector
	for range 1000 {
		unbounded.Note("r", "m", "a")
	}
	if len(unbounded.Findings) != 1000 {
		t.Errorf("a collector without a bound kept %d of 1000", len(unbounded.Findings))
	}
}

func TestTime(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	texts := UsualTimeTexts("the true time")
	for _, c := range []struct {
		at            time.Time
		want, message string
	}{
		{now, "", ""},
		{time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), "", ""},
		{time.Unix(0, 1), "", ""},
		{now.Add(1), "note time.skew at", texts.Skew},
		{now.Add(MaxAhead), "note time.skew at", texts.Skew},
		{now.Add(MaxAhead + 1), "refuse time.future at", texts.Future},
		{time.Unix(0, 0).In(time.FixedZone("", -5*3600)), "refuse time.zero at", texts.Zero},
		{time.Date(1899, 12, 31, 23, 59, 59, 0, time.UTC), "refuse time.zero at", texts.Zero},
		{time.Time{}, "refuse time.zero at", texts.Zero},
	} {
		var j Collector
		inOrder := j.Time("at", c.at, now, &texts)
		if got := strings.Join(lines(j.Verdict), ";"); got != c.want || inOrder != (c.want == "") {
			t.Errorf("%s: found %q, in order %t, want %q", c.at, got, inOrder, c.want)
		} else if c.want != "" && j.Findings[0].Message != c.message {
			t.Errorf("%s: the message is %q", c.at, j.Findings[0].Message)
		}
	}
	if !strings.HasSuffix(texts.Zero, "send the true time") {
		t.Errorf("the way out is missing: %q", texts.Zero)
	}
}

func TestText(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil, "abcd": nil, "痛a": nil,
		"abcde": {"refuse text.too_long f"}, "\xff": {"refuse text.not_utf8 f"},
		"痛\xffbc": {"refuse text.not_utf8 f", "refuse text.too_long f"},
	} {
		var c Collector
		c.Text("f", text, 4)
		expect(t, text, &c, want...)
	}
}

// report and intake hold all forms of a coding; here is what each caller says.
func TestCodingSaysWhatFits(t *testing.T) {
	for _, c := range []struct {
		coding  Coding
		field   string
		message string
	}{
		{Coding{Code: "x"}, "p.system", "is required: the URI of the code system"},
		{Coding{System: "LOINC", Code: "x"}, "p.system", "must be a URI, such as http://loinc.org or urn:oid:2.16.840"},
		{Coding{System: "urn:x"}, "p.code", "is required: the code chosen"},
		{Coding{System: "urn:x", Code: " x"}, "p.code", "must have no space at its ends and no control characters"},
		{Coding{"urn:x", "x", strings.Repeat("a", MaxDisplay+1)}, "p.display", "must have at most 512 bytes; shorten it"},
	} {
		var j Collector
		j.Coding("p", c.coding, "http://loinc.org", "the code chosen")
		if len(j.Findings) != 1 || j.Findings[0].Fields[0] != c.field || j.Findings[0].Message != c.message {
			t.Errorf("%+v: found %+v, want %s: %s", c.coding, j.Findings, c.field, c.message)
		}
	}
}
