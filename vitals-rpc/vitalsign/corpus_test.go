package vitalsign

import (
	"bufio"
	"encoding/json"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"clinsource/internal/corpus"
	"clinsource/internal/judgement"
)

// observation is what these tests need of a FHIR R4 Observation.
type observation struct {
	Code              concept
	EffectiveDateTime string
	ValueQuantity     *quantity
	Component         []struct {
		Code          concept
		ValueQuantity *quantity
	}
}

type concept struct{ Coding []struct{ Code string } }

type quantity struct {
	Value json.Number
	Code  string
}

// pathOf maps LOINC codes, with those of body sites and older panels, to fields.
var pathOf = map[string]string{
	"8480-6": "blood_pressure.systolic", "8462-4": "blood_pressure.diastolic",
	"8310-5": "temperature.value", "8331-1": "temperature.value", "8328-7": "temperature.value",
	"8867-4": "heart_rate.beats_per_minute", "9279-1": "respiratory_rate.breaths_per_minute",
	"2708-6": "oxygen_saturation.percent", "59408-5": "oxygen_saturation.percent", "29463-7": "body_weight.value",
}

var unitOf = map[string]string{"Cel": "CELSIUS", "[degF]": "FAHRENHEIT", "kg": "KILOGRAM", "g": "GRAM", "[lb_av]": "POUND"}

func (c concept) reading(q *quantity) []Reading {
	for _, coding := range c.Coding {
		if path := pathOf[coding.Code]; path != "" && q != nil {
			return one(path, q.Value.String(), unitOf[q.Code])
		}
	}
	return nil
}

// synthea reads the observations of our signs, made by a simulator that nobody
// here wrote.
func synthea(t *testing.T) []Upload {
	file, err := os.Open(corpus.Shared(t, "corpus", "clinical", "synthea", "vitals.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var uploads []Upload
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var o observation
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, o.EffectiveDateTime)
		if err != nil {
			t.Fatal(err)
		}
		in := Upload{Readings: o.Code.reading(o.ValueQuantity), MeasuredAt: at, HasTime: true}
		for _, c := range o.Component {
			in.Readings = append(in.Readings, c.Code.reading(c.ValueQuantity)...)
		}
		slices.SortFunc(in.Readings, func(a, b Reading) int { return -strings.Compare(a.Path, b.Path) }) // systolic first
		if len(in.Readings) > 0 {
			uploads = append(uploads, in)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(uploads) < 300 {
		t.Fatalf("only %d observations of our signs", len(uploads))
	}
	return uploads
}

func TestCorpusIsNotRefused(t *testing.T) {
	count := tally{}
	for _, in := range synthea(t) {
		v := Judge(in, now)
		if v.Refused() {
			t.Errorf("refused: %v", found(v))
		}
		count.add(in.Readings[0].Sign, v)
		for i, m := range v.Measurements {
			if m.Entered != in.Readings[i].Entered {
				t.Errorf("%s is no longer what was entered", m.Path)
			}
		}
	}
	count.log(t)
}

// tally counts verdicts by name and by worst severity.
type tally map[string]map[judgement.Severity]int

func (c tally) add(name string, v Verdict) {
	if c[name] == nil {
		c[name] = map[judgement.Severity]int{}
	}
	c[name][v.Worst()]++
}

func (c tally) log(t *testing.T) {
	var names []string
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		n := c[name]
		t.Logf("%-42s %3d: refused %3d, queried %3d, noted %3d, in order %3d",
			name, n[judgement.Refuse]+n[judgement.Query]+n[judgement.Note]+n[0], n[judgement.Refuse], n[judgement.Query], n[judgement.Note], n[0])
	}
}

// mutation spoils a copy of an upload the way people and devices do. It gives
// false where it does not apply.
type mutation struct {
	name  string
	spoil func(*Upload) bool
	want  func(Upload) judgement.Severity // the least that must be found
	rule  string                          // among the findings; empty: any
}

func always(s judgement.Severity) func(Upload) judgement.Severity {
	return func(Upload) judgement.Severity { return s }
}

var mutations = []mutation{
	{"temperature: unit F for C", func(in *Upload) bool {
		in.Readings[0].Unit = "FAHRENHEIT"
		return in.Readings[0].Sign == "temperature"
	}, always(judgement.Refuse), RuleTempUnitSuspect},
	{"temperature: Fahrenheit sent as C", func(in *Upload) bool {
		r := &in.Readings[0]
		return r.Sign == "temperature" && rescale(r, big.NewRat(9, 5), 32)
	}, always(judgement.Refuse), RuleTempUnitSuspect},
	{"blood pressure: pressures swapped", func(in *Upload) bool {
		if len(in.Readings) != 2 {
			return false
		}
		in.Readings[0].Entered, in.Readings[1].Entered = in.Readings[1].Entered, in.Readings[0].Entered
		return true
	}, always(judgement.Refuse), RuleBPSysLeDia},
	{"blood pressure: one missing", func(in *Upload) bool {
		if len(in.Readings) != 2 {
			return false
		}
		in.Readings[1].Entered = ""
		return true
	}, always(judgement.Refuse), judgement.RuleValueMissing},
	{"first number: leading digits transposed", func(in *Upload) bool {
		return transpose(&in.Readings[0])
	}, oracle, ""},
	{"diastolic: leading digits transposed", func(in *Upload) bool {
		return len(in.Readings) == 2 && transpose(&in.Readings[1])
	}, oracle, ""},
	{"any: decimal point lost", func(in *Upload) bool {
		r := &in.Readings[0]
		before, after, found := strings.Cut(r.Entered, ".")
		r.Entered = before + after[:min(1, len(after))]
		return found
	}, oracle, ""},
	{"weight: pounds as kg, previous known", func(in *Upload) bool {
		r := &in.Readings[0]
		if r.Sign != "body_weight" {
			return false
		}
		previous, err := ParseDecimal(r.Entered)
		in.Previous = map[string]Previous{r.Path: {previous, in.MeasuredAt.AddDate(-1, 0, 0)}}
		return err == nil && rescale(r, big.NewRat(100000000, 45359237), 0)
	}, always(judgement.Query), RuleWeightUnitSuspect},
	{"weight: pounds as kg, nothing known", func(in *Upload) bool {
		r := &in.Readings[0]
		return r.Sign == "body_weight" && rescale(r, big.NewRat(100000000, 45359237), 0)
	}, oracle, ""},
	{"weight: grams as kg", func(in *Upload) bool {
		r := &in.Readings[0]
		return r.Sign == "body_weight" && rescale(r, big.NewRat(1000, 1), 0)
	}, always(judgement.Refuse), RuleWeightUnitSuspect},
	{"any: ten minutes in the future", func(in *Upload) bool {
		in.MeasuredAt = now.Add(10 * time.Minute)
		return true
	}, always(judgement.Refuse), judgement.RuleTimeFuture},
	{"any: three minutes in the future", func(in *Upload) bool {
		in.MeasuredAt = now.Add(3 * time.Minute)
		return true
	}, always(judgement.Note), judgement.RuleTimeSkew},
	{"any: no clock", func(in *Upload) bool {
		in.MeasuredAt = time.Unix(0, 0)
		return true
	}, always(judgement.Refuse), judgement.RuleTimeZero},
}

// rescale multiplies and shifts a reading's number, to two decimals.
func rescale(r *Reading, factor *big.Rat, shift int64) bool {
	x, ok := new(big.Rat).SetString(r.Entered)
	if ok {
		x.Mul(x, factor)
		r.Entered = x.Add(x, big.NewRat(shift, 1)).FloatString(2)
	}
	return ok
}

// transpose exchanges the first two digits of a number: 139 for 319. A leading
// zero that this makes is dropped, as a form would.
func transpose(r *Reading) bool {
	s := r.Entered
	if len(s) < 2 || s[1] == '.' || s[0] == s[1] {
		return false
	}
	s = s[1:2] + s[:1] + s[2:]
	if s[0] == '0' && s[1] != '.' {
		s = s[1:]
	}
	r.Entered = s
	return true
}

// oracle knows only limits.tsv and that systolic exceeds diastolic, by
// rationals: the least that must be found.
func oracle(after Upload) judgement.Severity {
	if r := after.Readings; len(r) == 2 && ratio(r[0].Entered).Cmp(ratio(r[1].Entered)) <= 0 {
		return judgement.Refuse
	}
	least := judgement.Severity(0)
	for _, r := range after.Readings {
		switch {
		case bad(r):
			return judgement.Refuse
		case outside(r, usualLimits):
			least = judgement.Query
		}
	}
	return least
}

func TestMutatedCorpus(t *testing.T) {
	count := tally{}
	uploads := synthea(t)
	for _, m := range mutations {
		for _, before := range uploads {
			after := before
			after.Readings = slices.Clone(before.Readings)
			if !m.spoil(&after) {
				continue
			}
			v := Judge(after, now)
			if v.Worst() < m.want(after) {
				t.Errorf("%s: %s %s is %s: %v", m.name, after.Readings[0].Path, after.Readings[0].Entered, v.Worst(), found(v))
			}
			if m.rule != "" && !slices.ContainsFunc(v.Findings, func(f judgement.Finding) bool { return f.Rule == m.rule }) {
				t.Errorf("%s: no %s in %v", m.name, m.rule, found(v))
			}
			count.add(m.name, v)
		}
		if count[m.name] == nil {
			t.Errorf("%s: applied to nothing", m.name)
		}
	}
	count.log(t)
}
