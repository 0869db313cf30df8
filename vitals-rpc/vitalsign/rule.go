package vitalsign

import (
	"strconv"

	"clinsource/internal/judgement"
)

// The ids of the rules are stable: clients branch on them, data queries and
// pages are kept under them. The rules about one sign or field alone are
// derived from the table of signs, so that a new sign brings its own; those of
// today's signs have a constant here too. Those that every kind of record has
// are judgement's.
const (
	// RuleRecordEmpty refuses an upload without any measurement.
	RuleRecordEmpty = "record.empty"

	// RuleFieldUnknown refuses a number of which no sign knows.
	RuleFieldUnknown = "field.unknown"
	// RuleUnitUnknown refuses a missing unit, a unit that the sign does not
	// have, and any unit beside a sign whose unit is fixed.
	RuleUnitUnknown = "unit.unknown"

	// RuleValueRepeated refuses a number given twice.
	RuleValueRepeated = "value.repeated"
	// RuleValueMalformed refuses text that is not a JSON number in bounds.
	RuleValueMalformed = "value.malformed"
	// RuleValueNotFinite refuses NaN and infinities.
	RuleValueNotFinite = "value.not_finite"
	// RuleValueRounded notes a decimal in a field whose typed form is a whole
	// number; the text keeps the decimal.
	RuleValueRounded = "value.rounded"

	// RuleBPSysLeDia refuses a systolic pressure not above the diastolic one.
	RuleBPSysLeDia = "bp.sys_le_dia"
	// RuleBPPulsePressure queries a difference of the pressures outside its
	// usual range.
	RuleBPPulsePressure = "bp.pulse_pressure"
	// RuleRatesInterchanged queries a heart rate below the respiratory rate.
	RuleRatesInterchanged = "hr.rr_interchanged"

	// The rules ending in unit_suspect refuse a number that is possible only
	// in another unit, and query one that is usual only in another unit.

	// RuleBPUnitSuspect is about pressures in kPa.
	RuleBPUnitSuspect = "bp.unit_suspect"
	// RuleTempUnitSuspect is about Celsius and Fahrenheit.
	RuleTempUnitSuspect = "temp.unit_suspect"
	// RuleSpO2UnitSuspect is about a fraction where a percentage belongs.
	RuleSpO2UnitSuspect = "spo2.unit_suspect"
	// RuleWeightUnitSuspect is about kilograms, grams and pounds; it also
	// queries a weight that stands to the previous one as pounds to kilograms.
	RuleWeightUnitSuspect = "weight.unit_suspect"
	// RuleWeightChange queries a weight more than 10 % from the previous one
	// within 30 days.
	RuleWeightChange = "weight.change"

	// The range rules refuse a value outside the hard limits of limits.tsv and
	// query one outside the usual limits.

	// RuleSystolicRange is about the systolic pressure.
	RuleSystolicRange = "blood_pressure.systolic.range"
	// RuleDiastolicRange is about the diastolic pressure.
	RuleDiastolicRange = "blood_pressure.diastolic.range"
	// RuleTemperatureRange is about the body temperature.
	RuleTemperatureRange = "temperature.value.range"
	// RuleHeartRateRange is about the heart rate.
	RuleHeartRateRange = "heart_rate.beats_per_minute.range"
	// RuleRespiratoryRateRange is about the respiratory rate.
	RuleRespiratoryRateRange = "respiratory_rate.breaths_per_minute.range"
	// RuleOxygenSaturationRange is about the oxygen saturation.
	RuleOxygenSaturationRange = "oxygen_saturation.percent.range"
	// RuleWeightRange is about the body weight.
	RuleWeightRange = "body_weight.value.range"
)

const (
	suffixRange       = ".range"
	suffixUnitSuspect = ".unit_suspect"
	suffixChange      = ".change"
)

// RangeRule gives the id of a field's range rule.
func RangeRule(path string) string { return path + suffixRange }

// Rules gives every rule that Judge can find, those for all signs first, then
// those of each sign in the order of the table.
func Rules() []judgement.Rule {
	rules := append([]judgement.Rule(nil), generalRules...)
	for _, s := range inForce.signs {
		rules = append(rules, s.rules()...)
	}
	return rules
}

var generalRules = []judgement.Rule{
	judgement.Refuses(RuleRecordEmpty, "An upload holds at least one measurement.",
		"每次上报至少要包含一项测量值。"),
	judgement.Refuses(judgement.RuleTimeMissing, "Every upload says when the measurement was made.",
		"每次上报都必须给出测量时间。"),
	judgement.Refuses(judgement.RuleTimeZero, "A measurement time of 1970-01-01T00:00:00Z or before 1900 comes from a clock that was never set.",
		"测量时间为 1970-01-01T00:00:00Z 或早于 1900 年，说明设备时钟未设置。"),
	judgement.Refuses(judgement.RuleTimeFuture, "A measurement does not lie more than five minutes in the future.",
		"测量时间不得晚于当前时间五分钟以上。"),
	judgement.Notes(judgement.RuleTimeSkew, "A measurement up to five minutes in the future is kept as it came, and the clock's deviation is noted.",
		"测量时间晚于当前时间但不超过五分钟的，按原样保存，并注明时钟偏差。"),
	judgement.Refuses(RuleFieldUnknown, "Only the fields of the known vital signs are taken.",
		"只接受已知生命体征的字段。"),
	judgement.Refuses(RuleUnitUnknown, "The unit is one of those that the sign allows; a sign with a fixed unit takes none.",
		"单位必须是该体征允许的单位；单位固定的体征不接受单位字段。"),
	judgement.Refuses(judgement.RuleValueMissing, "All numbers of a sign come together, so both pressures of a blood pressure.",
		"同一体征的各项数值必须一并给出，例如血压须同时包含收缩压和舒张压。"),
	judgement.Refuses(RuleValueRepeated, "Each number comes once in an upload.",
		"同一次上报中每项数值只能出现一次。"),
	judgement.Refuses(RuleValueMalformed, "A number is written as JSON writes it, with a dot and at most 40 characters.",
		"数值必须按 JSON 数字格式书写，使用小数点，且不超过 40 个字符。"),
	judgement.Refuses(RuleValueNotFinite, "NaN and infinity are not measurements.",
		"NaN 和无穷大不是测量值。"),
	judgement.Notes(RuleValueRounded, "A decimal in a whole-number field is kept as text, and the typed number is rounded half to even.",
		"整数字段收到小数时，原文按文本保留，整数值按“四舍六入五取偶”取整。"),
	judgement.Refuses(RuleBPSysLeDia, "The systolic pressure is higher than the diastolic pressure.",
		"收缩压必须高于舒张压。"),
	judgement.Queries(RuleBPPulsePressure, "A difference of the two pressures outside its usual range is to be confirmed.",
		"收缩压与舒张压之差超出通常范围，需要确认。"),
	judgement.Queries(RuleRatesInterchanged, "A heart rate below the respiratory rate suggests that the two were interchanged.",
		"心率低于呼吸频率，可能是两项填反了，需要确认。"),
}

// rules are those that the table of signs implies for one sign.
func (s *compiledSign) rules() []judgement.Rule {
	var rules []judgement.Rule
	for _, f := range s.fields {
		rules = append(rules, judgement.RefusesOrQueries(RangeRule(f.path),
			"The "+f.English+" lies within the possible range, and is to be confirmed outside the usual one.",
			f.Chinese+"超出可能范围时拒绝，超出通常范围时需要确认。"))
	}
	if len(s.Units)+len(s.Mistaken) > 1 {
		rules = append(rules, judgement.RefusesOrQueries(s.Short+suffixUnitSuspect,
			"The "+s.English+" looks as if it were in another unit: refused when possible only there, else to be confirmed.",
			s.Chinese+"的单位可能有误：仅在另一单位下才可能时拒绝，其他可疑情况需要确认。"))
	}
	if s.History != nil {
		rules = append(rules, judgement.Queries(s.Short+suffixChange,
			"The "+s.English+" changed more since the previous value than is usual in that time, and is to be confirmed.",
			s.Chinese+"与上一次相比在短期内变化过大，需要确认。"))
	}
	return rules
}

// The messages of findings. None is given the value, so none can tell it.
const (
	confirm = "; confirm it or correct it"

	messageSysLeDia = "systolic must be higher than diastolic; check whether the two were interchanged"
	messageRates    = "the heart rate is below the respiratory rate; check whether the two were interchanged" + confirm
)

func (f *field) messageMissing() string {
	return f.path + " is missing; send it, or leave " + f.sign.Name + " out"
}

func (f *field) messageUnit() string {
	if f.sign.unitNames == "" {
		return f.sign.Name + " is always in " + f.sign.Units[0].UCUM + "; leave the unit out"
	}
	return f.sign.unitPath + " must be one of " + f.sign.unitNames
}

func (f *field) messageImpossible(u *unit) string {
	return f.path + " must be " + u.refuseText + "; check the number and send it again"
}

func (f *field) messageUnusual(u *unit) string {
	return f.path + " is outside the usual " + u.queryText + confirm
}

func (f *field) messageUnitImpossible(u *unit, others string) string {
	return f.path + " must be " + u.refuseText + ", but is possible as " + others + "; " + f.wayOut(u)
}

func (f *field) messageUnitUnusual(u *unit, others string) string {
	return f.path + " is outside the usual " + u.queryText + ", but is usual as " + others + "; " + f.wayOut(u)
}

func (f *field) messageUnitRatio(u *unit) string {
	return f.path + " stands to the previous value as one unit to another; " + f.wayOut(u)
}

// wayOut tells how to mend a wrong unit.
func (f *field) wayOut(u *unit) string {
	if f.sign.unitNames == "" {
		return "convert the number to " + u.UCUM
	}
	return "check " + f.sign.unitPath + " and the number"
}

func (f *field) messageChange() string {
	h := f.sign.history
	return f.path + " differs by more than " + strconv.FormatInt(h.ChangePercent, 10) +
		" % from the previous value, within " + strconv.FormatInt(h.Days, 10) + " days" + confirm
}
