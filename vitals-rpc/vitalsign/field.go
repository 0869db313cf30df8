package vitalsign

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// compiledSign is a sign with its fields.
type compiledSign struct {
	*Sign
	fields    []*field
	unitNames string // what a caller may send as unit, empty for a fixed unit
	unitPath  string // the field of the unit; of a fixed unit, the sign itself
	history   *compiledHistory
}

// field is a field that can judge.
type field struct {
	Field
	sign  *compiledSign
	path  string
	units []*unit // those that may be sent first, then the mistaken ones
}

// unit is a unit with a field's limits, ready to be compared with what was
// entered. It compares canonical x Den, which needs no division and so is
// exact for Fahrenheit too.
type unit struct {
	Unit
	mistaken         bool
	offset, num, den apd.Decimal
	refuse, query    *span // times den
	refuseText       string
	queryText        string
}

// compiledHistory is a History with its numbers as decimals.
type compiledHistory struct {
	*History
	change, ratio apd.Decimal
}

func compileSign(s *Sign, limitTable map[string]limits) (*compiledSign, error) {
	c := &compiledSign{Sign: s, unitPath: s.Name}
	if s.Units[0].Name != "" {
		var names []string
		for _, u := range s.Units {
			names = append(names, u.Name)
		}
		c.unitNames, c.unitPath = strings.Join(names, ", "), s.Name+".unit"
	}
	if s.History != nil {
		h := &compiledHistory{History: s.History}
		h.change.SetInt64(s.History.ChangePercent)
		if err := parseInto(&h.ratio, s.History.UnitRatio); err != nil {
			return nil, fmt.Errorf("unit ratio: %w", err)
		}
		c.history = h
	}
	for _, f := range s.Fields {
		compiled := &field{Field: f, sign: c, path: s.Name + "." + f.Name}
		l := limitTable[compiled.path]
		for i, u := range append(append([]Unit(nil), s.Units...), s.Mistaken...) {
			converted, err := compileUnit(u, l)
			if err != nil {
				return nil, fmt.Errorf("unit %s: %w", u.UCUM, err)
			}
			converted.mistaken = i >= len(s.Units)
			compiled.units = append(compiled.units, converted)
		}
		c.fields = append(c.fields, compiled)
	}
	return c, nil
}

func compileUnit(u Unit, l limits) (*unit, error) {
	c := &unit{Unit: u}
	c.offset.SetInt64(u.Offset)
	if err := errors.Join(parseFactor(&c.num, u.Num), parseFactor(&c.den, u.Den)); err != nil {
		return nil, err
	}
	var err error
	if c.refuse, c.refuseText, err = c.convert(l.refuse); err != nil {
		return nil, err
	}
	c.query, c.queryText, err = c.convert(l.query)
	return c, err
}

func parseFactor(d *apd.Decimal, text string) error {
	if text == "" {
		text = "1"
	}
	return parseInto(d, text)
}

// convert gives canonical limits times Den, and as a text in this unit.
func (u *unit) convert(canonical *span) (scaled *span, text string, err error) {
	scaled = new(span)
	ed := apd.MakeErrDecimal(&arith)
	ed.Mul(&scaled.low, &canonical.low, &u.den)
	ed.Mul(&scaled.high, &canonical.high, &u.den)
	low, errLow := u.limitText(&canonical.low, apd.RoundCeiling)
	high, errHigh := u.limitText(&canonical.high, apd.RoundFloor)
	return scaled, low + " to " + high + " " + u.label(), errors.Join(ed.Err(), errLow, errHigh)
}

// limitText writes a canonical limit in this unit, with at most one decimal and
// rounded inward, so that a value at a stated limit is never outside of it.
func (u *unit) limitText(canonical *apd.Decimal, inward apd.Rounder) (string, error) {
	var d apd.Decimal
	context := arith
	context.Rounding = inward
	ed := apd.MakeErrDecimal(&context)
	ed.Mul(&d, canonical, &u.den)
	ed.Quo(&d, &d, &u.num)
	ed.Sub(&d, &d, &u.offset)
	ed.Quantize(&d, &d, -1)
	d.Reduce(&d)
	return d.Text('f'), ed.Err()
}

// label is the unit's name for a caller: the enum value, or UCUM where the
// caller has no choice.
func (u *unit) label() string {
	if u.Name != "" {
		return u.Name
	}
	return u.UCUM
}

// scale sets d to the canonical value of what was entered, times Den.
func (u *unit) scale(d, entered *apd.Decimal) error {
	ed := apd.MakeErrDecimal(&arith)
	ed.Add(d, entered, &u.offset)
	ed.Mul(d, d, &u.num)
	return ed.Err()
}

// canonicalText divides by Den and writes the value as plain decimal text.
func (u *unit) canonicalText(scaled *apd.Decimal, places int32) (string, error) {
	var d apd.Decimal
	if places == AsEntered {
		return scaled.Text('f'), nil
	}
	ed := apd.MakeErrDecimal(&arith)
	ed.Quo(&d, scaled, &u.den)
	ed.Quantize(&d, &d, -places)
	return d.Text('f'), ed.Err()
}

// unitNamed finds a unit that may be sent.
func (f *field) unitNamed(name string) *unit {
	for _, u := range f.units {
		if u.Name == name && !u.mistaken {
			return u
		}
	}
	return nil
}
