package vitalsign

import "github.com/cockroachdb/apd/v3"

const (
	pathSystolic  = "blood_pressure.systolic"
	pathDiastolic = "blood_pressure.diastolic"
)

// BloodPressureCategory is the class of one blood pressure. Its values are the
// names of the proto enum's values.
//
// The classes are those of the 2017 ACC/AHA guideline for adults (Whelton PK et
// al., Hypertension 2018;71:e13-e115, doi 10.1161/HYP.0000000000000065, table 6,
// and section 11.2 for the crisis). The guideline classes the mean of at least two
// careful readings on at least two occasions: the category of one reading sorts
// it and diagnoses nothing. It has no class for low pressure, so neither has
// this package.
type BloodPressureCategory string

// The categories in mm[Hg], from low to high. When systolic and diastolic fall
// into different ones, the higher counts.
const (
	// Normal is systolic below 120 and diastolic below 80.
	Normal BloodPressureCategory = "NORMAL"
	// Elevated is systolic from 120 to below 130 and diastolic below 80.
	Elevated BloodPressureCategory = "ELEVATED"
	// HypertensionStage1 is systolic from 130 to below 140 or diastolic from 80 to below 90.
	HypertensionStage1 BloodPressureCategory = "HYPERTENSION_STAGE_1"
	// HypertensionStage2 is systolic from 140 or diastolic from 90.
	HypertensionStage2 BloodPressureCategory = "HYPERTENSION_STAGE_2"
	// HypertensiveCrisis is systolic above 180 or diastolic above 120.
	HypertensiveCrisis BloodPressureCategory = "HYPERTENSIVE_CRISIS"
)

// categoryRow holds when systolic or diastolic reaches its bound: exceeds it if
// above, else is not below it. A nil bound is never reached.
type categoryRow struct {
	category            BloodPressureCategory
	systolic, diastolic *apd.Decimal
	above               bool
}

// categories are tried from the top; what reaches none is Normal.
var categories = []categoryRow{
	{HypertensiveCrisis, apd.New(180, 0), apd.New(120, 0), true},
	{HypertensionStage2, apd.New(140, 0), apd.New(90, 0), false},
	{HypertensionStage1, apd.New(130, 0), apd.New(80, 0), false},
	{Elevated, apd.New(120, 0), nil, false},
}

func categorize(systolic, diastolic *apd.Decimal) BloodPressureCategory {
	for _, row := range categories {
		if row.reached(systolic, row.systolic) || row.reached(diastolic, row.diastolic) {
			return row.category
		}
	}
	return Normal
}

func (r categoryRow) reached(pressure, bound *apd.Decimal) bool {
	if bound == nil {
		return false
	}
	c := pressure.Cmp(bound)
	return c > 0 || c == 0 && !r.above
}

// judgeBloodPressure applies the rules over both pressures and gives their
// category; empty unless both can be read.
func (j *judge) judgeBloodPressure() BloodPressureCategory {
	systolic, diastolic := j.number(pathSystolic), j.number(pathDiastolic)
	if systolic == nil || diastolic == nil {
		return ""
	}
	var pulse apd.Decimal
	if _, err := arith.Sub(&pulse, systolic, diastolic); err != nil {
		return ""
	}
	switch {
	case pulse.Sign() <= 0:
		j.Refuse(RuleBPSysLeDia, messageSysLeDia, pathSystolic, pathDiastolic)
	case !j.rules.pulse.contains(&pulse):
		j.Query(RuleBPPulsePressure, j.rules.messagePulsePressure, pathSystolic, pathDiastolic)
	}
	return categorize(systolic, diastolic)
}
