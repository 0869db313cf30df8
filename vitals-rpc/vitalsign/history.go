package vitalsign

import (
	"time"

	"github.com/cockroachdb/apd/v3"
)

// ratioTolerance is how near, in percent, a change must come to the factor
// between two units to be taken for a mix-up of them.
var ratioTolerance = apd.New(5, 0)

// judgeHistory compares a number with the patient's previous one. Scaled is
// canonical times the unit's Den; suspected tells that the unit is queried
// already, so that it is not queried twice.
func (j *judge) judgeHistory(f *field, u *unit, scaled *apd.Decimal, suspected bool) {
	h := f.sign.history
	if h == nil {
		return
	}
	known, found := j.upload.Previous[f.path]
	if !found || known.Canonical == nil || known.Canonical.Form != apd.Finite || known.Canonical.Sign() <= 0 {
		return
	}
	var previous, ratioed apd.Decimal
	ed := apd.MakeErrDecimal(&arith)
	ed.Mul(&previous, known.Canonical, &u.den)

	within := time.Duration(h.Days) * 24 * time.Hour
	recent := j.upload.HasTime && j.upload.MeasuredAt.Sub(known.MeasuredAt).Abs() <= within
	if recent && !near(&ed, scaled, &previous, &h.change) {
		j.Query(f.sign.Short+suffixChange, f.messageChange(), f.path)
	}

	ed.Mul(&ratioed, &previous, &h.ratio)
	mixedUp := near(&ed, scaled, &ratioed, ratioTolerance)
	if !mixedUp {
		ed.Mul(&ratioed, scaled, &h.ratio)
		mixedUp = near(&ed, &ratioed, &previous, ratioTolerance)
	}
	if mixedUp && !suspected && ed.Err() == nil {
		j.Query(f.sign.Short+suffixUnitSuspect, f.messageUnitRatio(u), f.unitFields()...)
	}
}

// near tells whether a differs from the positive b by at most percent of b.
func near(ed *apd.ErrDecimal, a, b, percent *apd.Decimal) bool {
	var difference, allowed apd.Decimal
	ed.Sub(&difference, a, b)
	difference.Abs(&difference)
	ed.Mul(&difference, &difference, hundred)
	ed.Mul(&allowed, b, percent)
	return difference.Cmp(&allowed) <= 0
}

var hundred = apd.New(100, 0)
