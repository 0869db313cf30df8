package scenario

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// rulesDoc holds the figures of TestMutatedVitals, one line a mutation; the test
// fails when they are no longer what it measures.
const rulesDoc = "docs/vitals-rules.md"

// mutation spoils uploads the way people and devices do.
type mutation struct {
	name string
	// spoil changes the body of an observation of the sign; false where the
	// mutation does not apply.
	spoil func(sign string, body object) bool
	// want are the rules that an impossible upload must be refused by, by
	// field, or that a suspicious one is queried by. Nil: the oracle decides,
	// which knows no more than limits.tsv.
	want map[string]string
	// query says that want is a query's, not a refusal's.
	query bool
	// truly is an upload that comes first, of the same subject, unspoilt.
	truly func(body object) object
	// status and reason of the refusal where it is none of a rule: 404 and 409.
	status int
	reason string
	// elsewhere gives the path to send to, instead of the subject's own.
	elsewhere func(w *world, other *world, foreign string) string
}

// both gives the same rule for several fields.
func both(rule string, fields ...string) map[string]string {
	m := map[string]string{}
	for _, f := range fields {
		m[f] = rule
	}
	return m
}

func only(sign string, spoil func(value object) bool) func(string, object) bool {
	return func(s string, body object) bool {
		value, ok := body[s].(object)
		return ok && s == sign && spoil(value)
	}
}

func set(key string, value any) func(object) bool {
	return func(o object) bool { o[key] = value; return true }
}

func at(text func() string) func(string, object) bool {
	return func(_ string, body object) bool { body["measurement_time"] = text(); return true }
}

func constant(text string) func() string { return func() string { return text } }

func fromNow(d time.Duration) func() string {
	return func() string { return time.Now().Add(d).Format(time.RFC3339) }
}

func anything(string, object) bool { return true }

var (
	temperatureUnit = both("temp.unit_suspect", "temperature.value", "temperature.unit")
	weightUnit      = both("weight.unit_suspect", "body_weight.value", "body_weight.unit")
	poundsInOneKg   = big.NewRat(100_000_000, 45_359_237)
)

var mutations = []mutation{
	{name: "temperature: a value in Celsius, sent as FAHRENHEIT", spoil: only("temperature", set("unit", "FAHRENHEIT")), want: temperatureUnit},
	{name: "temperature: a value in Fahrenheit, sent as CELSIUS", spoil: only("temperature", fahrenheit), want: temperatureUnit},
	{name: "temperature: a value in Fahrenheit, without a unit", spoil: only("temperature", func(o object) bool {
		delete(o, "unit")
		return fahrenheit(o)
	}), want: temperatureUnit},
	{name: "temperature: a value in Celsius, without a unit", spoil: only("temperature", without("unit"))},
	{name: "blood pressure: pressures swapped", spoil: only("blood_pressure", func(o object) bool {
		o["systolic"], o["diastolic"] = o["diastolic"], o["systolic"]
		return true
	}), want: both("bp.sys_le_dia", "blood_pressure.systolic", "blood_pressure.diastolic")},
	{name: "blood pressure: diastolic missing", spoil: only("blood_pressure", without("diastolic")), want: both("value.missing", "blood_pressure.diastolic")},
	{name: "systolic: first two digits transposed", spoil: only("blood_pressure", transposed("systolic"))},
	{name: "diastolic: first two digits transposed", spoil: only("blood_pressure", transposed("diastolic"))},
	{name: "temperature: first two digits transposed", spoil: only("temperature", transposed("value"))},
	{name: "weight: first two digits transposed", spoil: only("body_weight", transposed("value"))},
	{name: "any number: decimal point lost", spoil: pointLost},
	{name: "weight: pounds sent as kilograms, after a true weight", spoil: only("body_weight", rescaled(poundsInOneKg)), want: weightUnit, query: true, truly: yesterday},
	{name: "weight: pounds sent as kilograms, nothing known before", spoil: only("body_weight", rescaled(poundsInOneKg))},
	{name: "weight: grams sent as kilograms", spoil: only("body_weight", rescaled(big.NewRat(1000, 1))), want: weightUnit},
	{name: "weight: without a unit", spoil: only("body_weight", without("unit")), want: both("unit.unknown", "body_weight.unit")},
	{name: "wrong patient: unknown", spoil: anything, status: 404, reason: "SUBJECT_NOT_FOUND",
		elsewhere: func(w, _ *world, _ string) string { return w.path + "/subjects/nobody-here" }},
	{name: "wrong patient: of another project", spoil: anything, status: 404, reason: "SUBJECT_NOT_FOUND",
		elsewhere: func(w, _ *world, foreign string) string { return w.path + "/subjects/" + foreign }},
	{name: "wrong project: with its own patient", spoil: anything, status: 403, reason: "NO_GRANT",
		elsewhere: func(_, other *world, foreign string) string { return other.path + "/subjects/" + foreign }},
	{name: "same client_record_id, another value", spoil: func(sign string, body object) bool {
		o := body[sign].(object)
		for name, number := range o {
			if text, ok := number.(json.Number); ok {
				o[name] = text + "0" // another decimal of a text, and so another content
			}
		}
		return true
	}, truly: maps.Clone[object], status: 409, reason: "ID_TAKEN"},
	{name: "time: ten minutes in the future", spoil: at(fromNow(10 * time.Minute)), want: both("time.future", "measurement_time")},
	{name: "time: three minutes in the future", spoil: at(fromNow(3 * time.Minute))},
	{name: "time: zero (1970-01-01T00:00:00Z)", spoil: at(constant("1970-01-01T00:00:00Z")), want: both("time.zero", "measurement_time")},
	{name: "time: zero (0001-01-01T00:00:00Z)", spoil: at(constant("0001-01-01T00:00:00Z")), want: both("time.zero", "measurement_time")},
	{name: "time: without an offset", spoil: at(constant("2026-01-01T08:00:00")), want: both("time.malformed", "measurement_time")},
	{name: "time: missing", spoil: func(_ string, body object) bool { delete(body, "measurement_time"); return true }, want: both("time.missing", "measurement_time")},
}

func without(key string) func(object) bool {
	return func(o object) bool { delete(o, key); return true }
}

func fahrenheit(o object) bool {
	x, _ := new(big.Rat).SetString(string(o["value"].(json.Number)))
	x.Mul(x, big.NewRat(9, 5))
	o["value"] = json.Number(x.Add(x, big.NewRat(32, 1)).FloatString(1))
	o2 := o["unit"]
	if o2 != nil {
		o["unit"] = "CELSIUS"
	}
	return true
}

func rescaled(factor *big.Rat) func(object) bool {
	return func(o object) bool {
		x, _ := new(big.Rat).SetString(string(o["value"].(json.Number)))
		o["value"] = json.Number(x.Mul(x, factor).FloatString(1))
		o["unit"] = "KILOGRAM"
		return true
	}
}

// transposed exchanges the first two digits: 139 for 319.
func transposed(field string) func(object) bool {
	return func(o object) bool {
		s := string(o[field].(json.Number))
		if len(s) < 2 || s[1] == '.' || s[0] == s[1] {
			return false
		}
		s = s[1:2] + s[:1] + s[2:]
		if s[0] == '0' && s[1] != '.' {
			s = s[1:]
		}
		o[field] = json.Number(s)
		return true
	}
}

// pointLost makes 70.4 of 704, in the first number of the sign.
func pointLost(sign string, body object) bool {
	o := body[sign].(object)
	for _, field := range []string{"systolic", "value"} {
		text, ok := o[field].(json.Number)
		before, after, found := strings.Cut(string(text), ".")
		if ok && found {
			o[field] = json.Number(before + after[:1])
			return true
		}
	}
	return false
}

// yesterday is the upload as it truly was, a day earlier, under another id.
func yesterday(body object) object {
	before := maps.Clone(body)
	when, err := time.Parse(time.RFC3339, before["measurement_time"].(string))
	if err != nil {
		panic(err)
	}
	before["measurement_time"] = when.AddDate(0, 0, -1).Format(time.RFC3339)
	before["client_record_id"] = "truly-" + before["client_record_id"].(string)
	return before
}

// outcome counts what became of the uploads of one mutation.
type outcome struct{ sent, refused, queried, noted, stored int }

func (o outcome) row(name string) string {
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d |", name, o.sent, o.refused, o.queried, o.noted, o.stored)
}

// Spoilt copies of the same uploads: what is impossible is refused, all of it,
// with the right rule on the right fields; what is suspicious is stored with a
// question. The figures are those of docs/vitals-rules.md.
// Shows R34.
func TestMutatedVitals(t *testing.T) {
	doc, err := os.ReadFile(rulesDoc)
	if err != nil {
		t.Fatal(err)
	}
	subjects, limits := synthea(t), readLimits(t)
	w, other := newWorld(t), newWorld(t)
	foreign, foreignPath := other.subject(t, "s1")
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			var mu sync.Mutex
			var count outcome
			eachSubject(t, subjects, func(t *testing.T, all []observation) {
				r := &mutated{m: m, limits: limits, w: w, other: other, foreign: foreign}
				for _, o := range all {
					r.send(t, o)
				}
				mu.Lock()
				defer mu.Unlock()
				count.add(r.count)
			})
			if count.sent == 0 {
				t.Fatal("applied to nothing")
			}
			if row := count.row(m.name); !strings.Contains(string(doc), "\n"+row+"\n") {
				t.Errorf("%s does not say what was measured:\n%s", rulesDoc, row)
			}
		})
	}
	if left := other.admin.get(t, foreignPath+"/vitals").want(t, 200)["records"].([]any); len(left) > 0 {
		t.Errorf("%d records were stored with another project's patient", len(left))
	}
}

func (o *outcome) add(p outcome) {
	o.sent, o.refused, o.queried = o.sent+p.sent, o.refused+p.refused, o.queried+p.queried
	o.noted, o.stored = o.noted+p.noted, o.stored+p.stored
}

// mutated sends one subject's spoilt uploads.
type mutated struct {
	m        mutation
	limits   map[string]limit
	w, other *world
	foreign  string
	count    outcome
}

// send spoils one observation and sends it, for a subject of its own, so that
// nothing but the mutation's own first upload is known of the subject.
func (r *mutated) send(t *testing.T, o observation) {
	t.Helper()
	sign, body, _ := o.upload()
	truth := maps.Clone(body)
	truth[sign] = maps.Clone(body[sign].(object))
	if !r.m.spoil(sign, body) {
		return
	}
	var path string
	if r.m.elsewhere != nil {
		path = r.m.elsewhere(r.w, r.other, r.foreign)
	} else {
		var id string
		id, path = r.w.subject(t, "s1")
		truth["client_record_id"], body["client_record_id"] = id, id
	}
	if r.m.truly != nil {
		r.w.admin.post(t, path+"/vitals", r.m.truly(truth)).want(t, 201)
	}
	r.judge(t, r.w.admin.post(t, path+"/vitals", body), sign, body)
}

// judge counts an answer and checks that it is the one wanted.
func (r *mutated) judge(t *testing.T, answer reply, sign string, body object) {
	t.Helper()
	r.count.sent++
	rules, worst := rulesOf(t, answer)
	switch {
	case answer.status >= 400:
		r.count.refused++
	case worst == "QUERY":
		r.count.queried++
	case worst == "NOTE":
		r.count.noted++
	default:
		r.count.stored++
	}
	switch {
	case r.m.status > 0:
		if answer.status != r.m.status || answer.problem(t) != r.m.reason {
			t.Errorf("status %d, want %d %s: %s", answer.status, r.m.status, r.m.reason, answer.body)
		}
	case r.m.want == nil:
		r.checkOracle(t, answer, sign, body, rules, worst)
	default:
		wantStatus := 400
		if r.m.query {
			wantStatus = 201
		}
		if answer.status != wantStatus {
			t.Errorf("status %d, want %d: %s", answer.status, wantStatus, answer.body)
		}
		for field, rule := range r.m.want {
			if !slices.Contains(rules[field], rule) {
				t.Errorf("%s is not named by %s, but by %v", field, rule, rules[field])
			}
		}
		if !r.m.query && len(rules) != len(r.m.want) {
			t.Errorf("named are %v, want only %v", rules, r.m.want)
		}
	}
}

// rulesOf gives the rules that an answer names by field, and the worst severity
// of its findings.
func rulesOf(t *testing.T, answer reply) (rules map[string][]string, worst string) {
	t.Helper()
	rules = map[string][]string{}
	if answer.status >= 400 {
		answer.problem(t)
		for _, e := range answer.object(t)["errors"].([]any) {
			v := e.(object)
			rules[v["field"].(string)] = append(rules[v["field"].(string)], v["rule"].(string))
		}
		return rules, ""
	}
	for _, f := range answer.want(t, 201)["findings"].([]any) {
		v := f.(object)
		worst = max(worst, v["severity"].(string)) // NOTE < QUERY in the alphabet too
		for _, field := range v["fields"].([]any) {
			rules[field.(string)] = append(rules[field.(string)], v["rule_id"].(string))
		}
	}
	return rules, worst
}

// limit is one row of the table of limits.
type limit struct{ refuseBelow, refuseAbove, queryBelow, queryAbove *big.Rat }

// readLimits reads the product's own table, by no code of the product.
func readLimits(t *testing.T) map[string]limit {
	t.Helper()
	data, err := os.ReadFile("vitals-rpc/vitalsign/limits.tsv")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]limit{}
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n")[2:] {
		cells := strings.Split(line, "\t")
		rows[cells[0]] = limit{rat(cells[3]), rat(cells[4]), rat(cells[5]), rat(cells[6])}
	}
	if len(rows) < 8 {
		t.Fatalf("%d limits", len(rows))
	}
	return rows
}

func rat(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(cmp.Or(text, "0"))
	if !ok {
		panic("not a decimal: " + text)
	}
	return r
}

// checkOracle holds an answer against the limits alone: outside the hard ones,
// or systolic not above diastolic, must be refused with a rule on that field;
// outside the usual ones must be queried. The oracle knows canonical units only.
func (r *mutated) checkOracle(t *testing.T, answer reply, sign string, body object, rules map[string][]string, worst string) {
	t.Helper()
	impossible, suspicious := []string{}, []string{}
	for name, number := range body[sign].(object) {
		text, ok := number.(json.Number)
		path := sign + "." + name
		if l, known := r.limits[path]; ok && known {
			switch x := rat(string(text)); {
			case x.Cmp(l.refuseBelow) < 0 || x.Cmp(l.refuseAbove) > 0:
				impossible = append(impossible, path)
			case x.Cmp(l.queryBelow) < 0 || x.Cmp(l.queryAbove) > 0:
				suspicious = append(suspicious, path)
			}
		}
	}
	if pressure, ok := body["blood_pressure"].(object); ok && len(impossible) == 0 {
		if rat(string(pressure["systolic"].(json.Number))).Cmp(rat(string(pressure["diastolic"].(json.Number)))) <= 0 {
			impossible = append(impossible, "blood_pressure.systolic", "blood_pressure.diastolic")
		}
	}
	if refused := answer.status == 400; refused != (len(impossible) > 0) {
		t.Errorf("status %d, impossible are %v", answer.status, impossible)
	}
	named := impossible
	if len(impossible) == 0 {
		named = suspicious
		if len(suspicious) > 0 && worst != "QUERY" {
			t.Errorf("stored without a question, suspicious are %v", suspicious)
		}
	}
	for _, field := range named {
		if len(rules[field]) == 0 {
			t.Errorf("%s is not named, but %v", field, rules)
		}
	}
}

// A scale that is set to pounds and sends them as kilograms is asked about each
// time as long as it stands beside true weights, and then no more: a value is
// compared with the newest one known, whatever was asked about that one. The
// figures are in docs/vitals-rules.md.
func TestScaleThatStaysInPounds(t *testing.T) {
	w := newWorld(t)
	subjects := synthea(t)
	var mu sync.Mutex
	var count outcome
	eachSubject(t, subjects, func(t *testing.T, all []observation) {
		_, path := w.subject(t, "s1")
		slices.SortStableFunc(all, func(a, b observation) int { return strings.Compare(a.EffectiveDateTime, b.EffectiveDateTime) })
		first := true
		for _, o := range all {
			sign, body, _ := o.upload()
			if sign != "body_weight" {
				continue
			}
			if !first {
				rescaled(poundsInOneKg)(body[sign].(object))
			}
			answer := w.admin.post(t, path+"/vitals", body)
			if first {
				answer.want(t, 201)
				first = false
				continue
			}
			_, worst := rulesOf(t, answer)
			mu.Lock()
			count.sent++
			if worst == "QUERY" {
				count.queried++
			} else {
				count.stored++
			}
			mu.Unlock()
		}
	})
	doc, err := os.ReadFile(rulesDoc)
	if err != nil {
		t.Fatal(err)
	}
	if row := count.row("weight: a scale that stays in pounds after one true weight"); !strings.Contains(string(doc), "\n"+row+"\n") {
		t.Errorf("%s does not say what was measured:\n%s", rulesDoc, row)
	}
}
