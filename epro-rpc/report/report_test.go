package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"clinsource/internal/judgement"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// The shorthands of this file: each gives one answer.
func text(link, value string) Answer { return Answer{LinkID: link, Kind: Text, Value: value} }
func number(kind Kind, value string) Answer {
	return Answer{LinkID: "q1", Kind: kind, Value: value}
}
func choice(system, code, display string) Answer {
	return Answer{LinkID: "q1", Kind: Choice, Coding: Coding{System: system, Code: code, Display: display}}
}

func submitted(answers ...Answer) Report {
	return Report{AuthoredAt: now.Add(-time.Hour), HasTime: true, Answers: answers}
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

func TestTimeRules(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		at   time.Time
		want []string
	}{
		{now, nil},
		{now.Add(time.Nanosecond), []string{"note time.skew authored_time"}},
		{now.Add(5 * time.Minute), []string{"note time.skew authored_time"}},
		{now.Add(5*time.Minute + time.Nanosecond), []string{"refuse time.future authored_time"}},
		{now.AddDate(400, 0, 0), []string{"refuse time.future authored_time"}},
		{now.Add(-30 * day), nil},
		{now.Add(-30*day - time.Nanosecond), []string{"note report.late authored_time"}},
		{time.Unix(0, 0), []string{"refuse time.zero authored_time"}},
		{time.Unix(0, 0).In(time.FixedZone("", -5*3600)), []string{"refuse time.zero authored_time"}},
		{time.Unix(0, 1), []string{"note report.late authored_time"}},
		{time.Date(1899, 12, 31, 23, 59, 59, 0, time.UTC), []string{"refuse time.zero authored_time"}},
		{time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), []string{"note report.late authored_time"}},
		{time.Time{}, []string{"refuse time.zero authored_time"}},
	} {
		in := submitted(text("q1", "x"))
		in.AuthoredAt = c.at
		expect(t, c.at.String(), Judge(in, now), c.want...)
	}
	expect(t, "no time", Judge(Report{AuthoredAt: now, Answers: []Answer{text("q1", "x")}}, now), "refuse time.missing authored_time")
}

func TestAnswerRules(t *testing.T) {
	const integer, decimal = "answers[0].integer_value", "answers[0].decimal_value"
	const value, date = "answers[0].text_value", "answers[0].date_value"
	for name, c := range map[string]struct {
		answer Answer
		want   []string
	}{
		"zero":                 {number(Integer, "0"), nil},
		"negative zero":        {number(Integer, "-0"), nil},
		"whole":                {number(Integer, "-9223372036854775808"), nil},
		"whole with zeros":     {number(Integer, "2.00"), nil},
		"whole by exponent":    {number(Integer, "1.5e1"), nil},
		"fraction":             {number(Integer, "2.5"), []string{"refuse value.not_whole " + integer}},
		"tiny fraction":        {number(Integer, "2.000000000000000000000000000000000001"), []string{"refuse value.not_whole " + integer}},
		"fraction by exponent": {number(Integer, "25e-1"), []string{"refuse value.not_whole " + integer}},
		"smallest fraction":    {number(Integer, "1e-30"), []string{"refuse value.not_whole " + integer}},
		"no integer":           {number(Integer, "two"), []string{"refuse value.malformed " + integer}},
		"integer as NaN":       {number(Integer, "NaN"), []string{"refuse value.malformed " + integer}},
		"integer too long":     {number(Integer, strings.Repeat("1", 41)), []string{"refuse value.malformed " + integer}},
		"no integer text":      {number(Integer, ""), []string{"refuse value.malformed " + integer}},
		"decimal":              {number(Decimal, "0.0"), nil},
		"infinite":             {number(Decimal, "Infinity"), []string{"refuse value.malformed " + decimal}},
		"decimal comma":        {number(Decimal, "3,5"), []string{"refuse value.malformed " + decimal}},
		"false":                {Answer{LinkID: "q1", Kind: Boolean, Value: "false"}, nil},
		"nothing":              {Answer{LinkID: "q1"}, []string{"refuse answer.value_missing answers[0]"}},
		"unknown kind":         {Answer{LinkID: "q1", Kind: 99}, []string{"refuse answer.value_missing answers[0]"}},
		"no link id":           {text("", "x"), []string{"refuse value.missing answers[0].link_id"}},
		"nothing at all":       {Answer{}, []string{"refuse value.missing answers[0].link_id", "refuse answer.value_missing answers[0]"}},
		"longest link id":      {text(strings.Repeat("q", 128), "x"), nil},
		"link id too long":     {text(strings.Repeat("q", 129), "x"), []string{"refuse text.too_long answers[0].link_id"}},
		"link id not UTF-8":    {text("\xff", "x"), []string{"refuse text.not_utf8 answers[0].link_id"}},
		"empty text":           {text("q1", ""), nil},
		"longest text":         {text("q1", strings.Repeat("痛", 16384/3)+"a"), nil},
		"text too long":        {text("q1", strings.Repeat("a", 16385)), []string{"refuse text.too_long " + value}},
		"text not UTF-8":       {text("q1", "a\xc3"), []string{"refuse text.not_utf8 " + value}},
		"leap day":             {number(Date, "2024-02-29"), nil},
		"no leap day":          {number(Date, "2026-02-29"), []string{"refuse date.malformed " + date}},
		"no such month":        {number(Date, "2026-13-01"), []string{"refuse date.malformed " + date}},
		"day zero":             {number(Date, "2026-01-00"), []string{"refuse date.malformed " + date}},
		"year zero":            {number(Date, "0000-01-01"), []string{"refuse date.malformed " + date}},
		"short date":           {number(Date, "2026-1-1"), []string{"refuse date.malformed " + date}},
		"month only":           {number(Date, "2026-01"), []string{"refuse date.malformed " + date}},
		"date and time":        {number(Date, "2026-01-01T00:00:00Z"), []string{"refuse date.malformed " + date}},
		"spaces around a date": {number(Date, " 2026-01-01"), []string{"refuse date.malformed " + date}},
		"no date":              {number(Date, ""), []string{"refuse date.malformed " + date}},
	} {
		expect(t, name, Judge(submitted(c.answer), now), c.want...)
	}
}

func TestCodingRules(t *testing.T) {
	const path = "answers[0].coding_value"
	for name, c := range map[string]struct {
		answer Answer
		want   []string
	}{
		"url":                 {choice("http://loinc.org", "LA6568-5", "Not at all"), nil},
		"urn":                 {choice("urn:oid:2.16.840.1.113883.6.1", "44250-9", ""), nil},
		"inner space":         {choice("http://loinc.org", "a b", ""), nil},
		"nothing":             {choice("", "", ""), []string{"refuse value.missing " + path + ".system", "refuse value.missing " + path + ".code"}},
		"no system":           {choice("", "x", ""), []string{"refuse value.missing " + path + ".system"}},
		"a name":              {choice("LOINC", "x", ""), []string{"refuse coding.system_malformed " + path + ".system"}},
		"no scheme":           {choice("://loinc.org", "x", ""), []string{"refuse coding.system_malformed " + path + ".system"}},
		"digit first":         {choice("1a:b", "x", ""), []string{"refuse coding.system_malformed " + path + ".system"}},
		"bad scheme":          {choice("http_x://loinc.org", "x", ""), []string{"refuse coding.system_malformed " + path + ".system"}},
		"scheme alone":        {choice("urn:", "x", ""), []string{"refuse coding.system_malformed " + path + ".system"}},
		"space in system":     {choice("http://loinc.org ", "x", ""), []string{"refuse coding.system_malformed " + path + ".system"}},
		"no ASCII in system":  {choice("http://例子", "x", ""), []string{"refuse coding.system_malformed " + path + ".system"}},
		"space before a code": {choice("http://loinc.org", " x", ""), []string{"refuse coding.code_malformed " + path + ".code"}},
		"only space":          {choice("http://loinc.org", "\t", ""), []string{"refuse coding.code_malformed " + path + ".code"}},
		"control character":   {choice("http://loinc.org", "a\x00b", ""), []string{"refuse coding.code_malformed " + path + ".code"}},
		"code not UTF-8":      {choice("http://loinc.org", "\xff", ""), []string{"refuse text.not_utf8 " + path + ".code"}},
		"display not UTF-8":   {choice("http://loinc.org", "x", "\xff"), []string{"refuse text.not_utf8 " + path + ".display"}},
		"longest":             {choice("urn:"+strings.Repeat("a", 252), strings.Repeat("x", 128), strings.Repeat("x", 512)), nil},
		"too long": {choice("urn:"+strings.Repeat("a", 253), strings.Repeat("x", 129), strings.Repeat("x", 513)),
			[]string{"refuse text.too_long " + path + ".system", "refuse text.too_long " + path + ".code", "refuse text.too_long " + path + ".display"}},
	} {
		expect(t, name, Judge(submitted(c.answer), now), c.want...)
	}
}

func TestReportRules(t *testing.T) {
	many := make([]Answer, 501)
	for i := range many {
		many[i] = text(fmt.Sprint("q", i), "x")
	}
	for name, c := range map[string]struct {
		answers []Answer
		want    []string
	}{
		"none":               {nil, []string{"refuse report.empty answers"}},
		"most":               {many[:500], nil},
		"too many":           {many, []string{"refuse report.too_long answers"}},
		"repeats":            {[]Answer{text("a", "1"), text("b", "1"), text("b", "2"), text("b", "3"), text("c", "1")}, nil},
		"scattered":          {[]Answer{text("a", "1"), text("b", "1"), text("a", "2"), text("a", "3"), text("b", "2")}, []string{"refuse link_id.scattered answers[2].link_id", "refuse link_id.scattered answers[4].link_id"}},
		"two without id":     {[]Answer{text("", "1"), text("b", "1"), text("", "2")}, []string{"refuse value.missing answers[0].link_id", "refuse value.missing answers[2].link_id"}},
		"twice the same":     {[]Answer{text("a", "1"), text("a", "1"), text("b", "1"), choice("urn:x", "1", ""), choice("urn:x", "1", "")}, []string{"query answer.duplicate answers[1],answers[4]"}},
		"same in other type": {[]Answer{number(Integer, "1"), number(Decimal, "1")}, nil},
	} {
		expect(t, name, Judge(submitted(c.answers...), now), c.want...)
	}
	v := Judge(submitted(text("a", "1"), text("b", "1"), text("a", "2")), now)
	if message := v.Findings[0].Message; !strings.Contains(message, "answers[0]") {
		t.Errorf("the message does not say where the item was before: %s", message)
	}
}

func TestEverythingAtOnce(t *testing.T) {
	expect(t, "all wrong", Judge(Report{Answers: []Answer{
		number(Integer, "0.5"), {LinkID: "q2"}, {Kind: Choice}, number(Date, "x"),
	}}, now),
		"refuse time.missing authored_time",
		"refuse value.not_whole answers[0].integer_value",
		"refuse answer.value_missing answers[1]",
		"refuse value.missing answers[2].link_id",
		"refuse value.missing answers[2].coding_value.system",
		"refuse value.missing answers[2].coding_value.code",
		"refuse date.malformed answers[3].date_value",
		"refuse link_id.scattered answers[3].link_id")
}

// A hostile report gets a bounded answer, and stays refused.
func TestFindingsAreBounded(t *testing.T) {
	v := Judge(submitted(make([]Answer, 500)...), now)
	if len(v.Findings) != MaxFindings || !v.Refused() {
		t.Errorf("%d findings, refused %t", len(v.Findings), v.Refused())
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
	late, ahead, future := now.AddDate(-1, 0, 0), now.Add(time.Minute), now.AddDate(1, 0, 0)
	met := map[string]bool{}
	for _, in := range []Report{
		{}, {HasTime: true}, {HasTime: true, AuthoredAt: late}, {HasTime: true, AuthoredAt: ahead}, {HasTime: true, AuthoredAt: future},
		submitted(make([]Answer, 501)...),
		submitted(number(Integer, secret), number(Date, secret), number(Integer, "1.25"), number(0, ""), text("", secret)),
		submitted(choice(secret, " "+secret, "\xff"+secret), choice("", "", strings.Repeat(secret, 100))),
		submitted(text(secret, secret), text(secret, secret), text("b", secret), text(secret, "1")),
	} {
		for _, f := range Judge(in, now).Findings {
			met[f.Rule] = true
			if r, ok := explained[f.Rule]; !ok || !slices.Contains(r.Severities, f.Severity) {
				t.Errorf("rule %s is found as %s, explained as %s", f.Rule, f.Severity, r.Severities)
			}
			if strings.Contains(f.Message, secret) || strings.Contains(f.Message, "1.25") {
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
