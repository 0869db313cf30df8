package intake

import (
	"math"
	"strings"

	"clinsource/internal/judgement"
)

// MaxUnit is the longest unit, in bytes.
const MaxUnit = 64

// Dose is how much was taken at a time.
type Dose struct {
	Entered string  // The value's decimal text as it was entered; empty: none came.
	Value   float64 // The number that the text says.
	Unit    string  // A UCUM code.
}

func (j *judge) judgeDose(path string, d *Dose) {
	if d == nil {
		j.Refuse(judgement.RuleValueMissing, messageDoseMissing, path)
		return
	}
	value, unit := path+".value", path+".ucum_unit"
	switch {
	case d.Entered == "":
		j.Refuse(judgement.RuleValueMissing, messageDoseValueMissing, value)
	case math.IsNaN(d.Value) || math.IsInf(d.Value, 0):
		j.Refuse(RuleValueNotFinite, messageNotFinite, value)
	case d.Value <= 0:
		j.Refuse(RuleDoseNotPositive, messageDoseNotPositive, value)
	}
	switch {
	case d.Unit == "":
		j.Refuse(judgement.RuleValueMissing, messageUnitMissing, unit)
	case len(d.Unit) > MaxUnit || !isUnit(d.Unit):
		j.Refuse(RuleUnitMalformed, messageUnitMalformed, unit)
	case mistaken[strings.ToLower(d.Unit)]:
		j.Query(RuleUnitSuspect, messageUnitSuspect, unit)
	}
}

// mistaken are words and abbreviations, in lower case, that stand on packages
// and in charts where UCUM has another code (ug, [IU], mL, {tbl}) or another
// meaning for the same letters.
var mistaken = map[string]bool{
	"mcg": true, "iu": true, "cc": true, "unit": true, "units": true, "tab": true, "tabs": true, "tablet": true, "tablets": true,
	"tbl": true, "cap": true, "caps": true, "capsule": true, "capsules": true, "pill": true, "pills": true, "drop": true, "drops": true,
	"gtt": true, "puff": true, "puffs": true, "spray": true, "sprays": true, "patch": true, "patches": true, "gm": true, "mgs": true,
}

// isUnit holds text against the outline of a UCUM code: visible ASCII,
// annotations in braces and atoms in brackets closed and not nested, terms in
// parentheses closed, and nothing missing behind the last operator. It does not
// know the units themselves.
func isUnit(text string) bool {
	var closing byte // What ends the annotation or atom that is open; 0 outside.
	depth := 0       // Open parentheses.
	for i := range len(text) {
		c := text[i]
		switch {
		case c <= ' ' || c > '~':
			return false
		case closing != 0:
			if c == closing {
				closing = 0
			} else if c == '{' || c == '[' && closing == ']' {
				return false
			}
		case c == '{' || c == '[':
			closing = c + 2 // In ASCII each stands two before its other half.
		case c == '}' || c == ']':
			return false
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth < 0 {
				return false
			}
		}
	}
	last := text[len(text)-1]
	return closing == 0 && depth == 0 && last != '/' && last != '.'
}
