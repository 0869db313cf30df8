package vitalsign

import (
	"errors"
	"strings"

	"github.com/cockroachdb/apd/v3"

	"clinsource/internal/judgement"
)

// judgeReading applies every rule that looks at one number: that it is one,
// that its unit is known, and that it is possible and usual in that unit.
func (j *judge) judgeReading(r *Reading) {
	f := j.rules.fields[r.Path]
	if f == nil || f.sign.Name != r.Sign {
		j.Refuse(RuleFieldUnknown, j.rules.messageFieldUnknown, r.Path)
		return
	}
	if j.has(f) {
		j.Refuse(RuleValueRepeated, r.Path+" is given more than once; send each number once", r.Path)
		return
	}
	j.values = append(j.values, value{field: f})
	v := &j.values[len(j.values)-1]

	u := f.unitNamed(r.Unit)
	if u == nil {
		j.Refuse(RuleUnitUnknown, f.messageUnit(), f.sign.unitPath)
	}
	if !j.readNumber(v, r) || u == nil {
		return
	}
	j.judgeNumber(v, u, r)
}

// readNumber parses what was entered.
func (j *judge) readNumber(v *value, r *Reading) bool {
	path := v.field.path
	if r.Entered == "" {
		j.Refuse(judgement.RuleValueMissing, v.field.messageMissing(), path)
		return false
	}
	if err := parseInto(&v.number, r.Entered); err != nil {
		rule := RuleValueMalformed
		if errors.Is(err, ErrNotFinite) {
			rule = RuleValueNotFinite
		}
		j.Refuse(rule, path+" is "+err.Error(), path)
		return false
	}
	v.ok = true
	return true
}

// judgeNumber holds a number against the limits and the past, and keeps it as
// a measurement if it is possible.
func (j *judge) judgeNumber(v *value, u *unit, r *Reading) {
	f := v.field
	var scaled apd.Decimal
	err := u.scale(&scaled, &v.number)
	if err != nil || !u.refuse.contains(&scaled) {
		j.refuseNumber(f, u, &v.number)
		return
	}
	canonical, err := u.canonicalText(&scaled, f.sign.Places)
	if err != nil {
		j.refuseNumber(f, u, &v.number)
		return
	}
	if f.Integer && !isWhole(&v.number) {
		j.Note(RuleValueRounded, f.path+" is stored as a whole number beside the text as it came", f.path)
	}
	suspected := false
	if !u.query.contains(&scaled) {
		j.Query(RangeRule(f.path), f.messageUnusual(u), f.path)
		if others := f.otherUnits(u, &v.number, usual); others != "" {
			suspected = true
			j.Query(f.sign.Short+suffixUnitSuspect, f.messageUnitUnusual(u, others), f.unitFields()...)
		}
	}
	j.judgeHistory(f, u, &scaled, suspected)
	j.measurements = append(j.measurements, Measurement{
		Sign: f.sign.Name, Path: f.path, Entered: r.Entered, Unit: r.Unit,
		Canonical: canonical, CanonicalUnit: f.sign.Units[0].UCUM,
	})
}

// refuseNumber says why a number is impossible: in the wrong unit, if there is
// one in which it would be possible, else out of range. One finding is enough
// here, since nothing is stored; a query names both, because a reviewer who
// has confirmed the unit has not yet confirmed the value.
func (j *judge) refuseNumber(f *field, u *unit, entered *apd.Decimal) {
	others := f.otherUnits(u, entered, usual)
	if others == "" {
		others = f.otherUnits(u, entered, possible)
	}
	if others == "" {
		j.Refuse(RangeRule(f.path), f.messageImpossible(u), f.path)
		return
	}
	j.Refuse(f.sign.Short+suffixUnitSuspect, f.messageUnitImpossible(u, others), f.unitFields()...)
}

// possible and usual are the two spans of a unit.
func possible(u *unit) *span { return u.refuse }
func usual(u *unit) *span    { return u.query }

// otherUnits names the units other than u in which an entered number would lie
// inside the span, joined by "or"; empty if there are none.
func (f *field) otherUnits(u *unit, entered *apd.Decimal, within func(*unit) *span) string {
	var names []string
	for _, other := range f.units {
		if other == u {
			continue
		}
		var scaled apd.Decimal
		if err := other.scale(&scaled, entered); err == nil && within(other).contains(&scaled) {
			names = append(names, other.label())
		}
	}
	return strings.Join(names, " or ")
}

// unitFields are the fields in doubt when the unit is: the number, and its unit
// where there is such a field.
func (f *field) unitFields() []string {
	if f.sign.unitNames == "" {
		return []string{f.path}
	}
	return []string{f.path, f.sign.unitPath}
}

func isWhole(d *apd.Decimal) bool {
	if d.Exponent >= 0 {
		return true
	}
	var integer, fraction apd.Decimal
	d.Modf(&integer, &fraction)
	return fraction.IsZero()
}
