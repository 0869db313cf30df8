// Package vitalsign judges the measurements of one vitals upload. It answers
// with one of three outcomes for each rule: refuse (no living person or real
// instrument gives this, or it cannot be read at all; nothing may be stored),
// query (store it, and ask the site to confirm it) and note (store it, and say
// what was seen). No finding at all is the fourth outcome: in order.
//
// The rules are data. The table in sign.go says which signs there are, their
// fields, LOINC codes and units; limits.tsv says how far each value may go.
// A seventh sign is one row in the first and one row per number in the second.
// All arithmetic is exact decimal, and limits are compared before anything is
// rounded. What the caller entered is never changed: the canonical value
// (Cel, kg, mm[Hg], /min, %) stands beside it.
//
// The package is pure: no clock (the caller passes now), no storage, no
// framework. Its texts tell the rule and the way out, and never the value, so
// that they may go to logs and error answers.
package vitalsign

import (
	"slices"
	"time"

	"github.com/cockroachdb/apd/v3"

	"clinsource/internal/judgement"
)

// Reading is one number of an upload as the caller sent it.
type Reading struct {
	// Sign is the sign's name, for example blood_pressure.
	Sign string
	// Path is the number's place in the JSON or proto message, for example
	// blood_pressure.systolic.
	Path string
	// Entered is the decimal text as it came: a JSON number of at most
	// MaxEnteredLength characters. Empty means that the number is missing.
	Entered string
	// Unit is the name of the unit's enum value, for example FAHRENHEIT. It is
	// empty for a sign whose unit is fixed.
	Unit string
}

// Upload is what one call of UploadVitals brings to be judged.
type Upload struct {
	Readings []Reading
	// MeasuredAt is the time of the measurement; ignored unless HasTime.
	MeasuredAt time.Time
	HasTime    bool
	// Previous holds, by path, the patient's latest stored value before this
	// upload. It is optional: without an entry, the rules that compare with
	// the past (weight.change, and weight.unit_suspect in part) stay silent.
	Previous map[string]Previous
}

// Previous is a value that is already stored.
type Previous struct {
	// Canonical is the value in the sign's canonical unit; nil and values not
	// above zero are taken as unknown.
	Canonical  *apd.Decimal
	MeasuredAt time.Time
}

// Measurement is one number fit to be stored.
type Measurement struct {
	Sign, Path string
	// Entered and Unit are the reading's own, unchanged.
	Entered, Unit string
	// Canonical is the value in CanonicalUnit as plain decimal text: Celsius
	// with two decimals and kilograms with four, half-even; signs of a fixed
	// unit exactly as entered, without an exponent.
	Canonical string
	// CanonicalUnit is a UCUM code.
	CanonicalUnit string
}

// Verdict is the answer to one upload.
type Verdict struct {
	// Verdict's Findings come in a stable order: time, then the readings in their
	// order, then missing fields, then rules over several fields.
	judgement.Verdict
	// Measurements are in the order of the readings. There are none when the
	// upload is refused, so that nobody stores half of it.
	Measurements []Measurement
	// BloodPressureCategory is empty when there is no blood pressure or the
	// upload is refused.
	BloodPressureCategory BloodPressureCategory
}

// Judge applies every rule to one upload and reports everything that it finds,
// so that the caller can mend all of it at once. It is safe for concurrent use
// and takes any text without panicking. Now is the server's time.
func Judge(in Upload, now time.Time) Verdict { return inForce.judge(&in, now) }

func (r *ruleset) judge(in *Upload, now time.Time) Verdict {
	j := judge{rules: r, upload: in, values: make([]value, 0, len(in.Readings))}
	j.RuleVersion = r.version
	j.judgeTime(now)
	if len(in.Readings) == 0 {
		j.Refuse(RuleRecordEmpty, r.messageRecordEmpty, slices.Clone(r.names)...)
	}
	for i := range in.Readings {
		j.judgeReading(&in.Readings[i])
	}
	j.findMissing()
	category := j.judgeBloodPressure()
	j.judgeRates()

	verdict := Verdict{Verdict: j.Verdict}
	if !verdict.Refused() {
		verdict.Measurements = j.measurements
		verdict.BloodPressureCategory = category
	}
	return verdict
}

// judge collects the findings of one upload.
type judge struct {
	judgement.Collector
	rules        *ruleset
	upload       *Upload
	values       []value
	measurements []Measurement
}

// value is a number that could be read, for the rules over several fields.
// Fields whose number could not be read are there too, not ok, so that they
// are not taken as missing.
type value struct {
	field *field
	ok    bool
	// number is the value as entered.
	number apd.Decimal
}

// number gives the readable value of a field, nil if there is none.
func (j *judge) number(path string) *apd.Decimal {
	for i := range j.values {
		if v := &j.values[i]; v.ok && v.field.path == path {
			return &v.number
		}
	}
	return nil
}

func (j *judge) has(f *field) bool {
	for i := range j.values {
		if j.values[i].field == f {
			return true
		}
	}
	return false
}

// findMissing names the absent fields of every sign of which something came:
// one number of a blood pressure is not a blood pressure.
func (j *judge) findMissing() {
	for _, s := range j.rules.signs {
		present := 0
		for _, f := range s.fields {
			if j.has(f) {
				present++
			}
		}
		if present == 0 || present == len(s.fields) {
			continue
		}
		for _, f := range s.fields {
			if !j.has(f) {
				j.Refuse(judgement.RuleValueMissing, f.messageMissing(), f.path)
			}
		}
	}
}
