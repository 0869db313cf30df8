package intake

import (
	"slices"

	"clinsource/internal/judgement"
)

// The ids of the rules are stable: clients branch on them, data queries and
// pages are kept under them. Those of times, texts and codings are judgement's.
const (
	// RuleValueNotFinite refuses a dose of NaN or infinity.
	RuleValueNotFinite = "value.not_finite"
	// RuleDoseNotPositive refuses a dose of zero or less.
	RuleDoseNotPositive = "dose.not_positive"
	// RuleUnitMalformed refuses what cannot be a UCUM code.
	RuleUnitMalformed = "dose.unit_malformed"
	// RuleUnitSuspect queries words and abbreviations for which UCUM has another
	// code.
	RuleUnitSuspect = "dose.unit_suspect"

	// RuleEndBeforeStart refuses an end before the start.
	RuleEndBeforeStart = "time.end_before_start"
)

// Rules gives every rule that Judge can find.
func Rules() []judgement.Rule {
	return slices.Concat(ownRules, judgement.TextRules(), judgement.CodingRules())
}

var ownRules = []judgement.Rule{
	judgement.Refuses(judgement.RuleValueMissing, "Every record says what was taken, how much, in which unit and by which way, with all parts of each code.",
		"每条记录都必须给出药物、剂量、单位和给药途径，且各编码的必填部分齐全。"),
	judgement.Refuses(RuleValueNotFinite, "NaN and infinity are not doses.", "NaN 和无穷大不是剂量。"),
	judgement.Refuses(RuleDoseNotPositive, "A dose is greater than zero.", "剂量必须大于零。"),
	judgement.Refuses(RuleUnitMalformed, "A unit has the form of a UCUM code.", "单位必须符合 UCUM 编码的形式。"),
	judgement.Queries(RuleUnitSuspect, "A word or abbreviation for which UCUM has another code is to be confirmed.", "单位像是 UCUM 中另有编码的单词或缩写，需要确认。"),
	judgement.Refuses(judgement.RuleTimeMissing, "Every record says when the medicine was first taken.", "每条记录都必须给出开始用药的时间。"),
	judgement.Refuses(judgement.RuleTimeZero, "A time of 1970-01-01T00:00:00Z or before 1900 comes from a clock that was never set.",
		"时间为 1970-01-01T00:00:00Z 或早于 1900 年，说明设备时钟未设置。"),
	judgement.Refuses(judgement.RuleTimeFuture, "A time does not lie more than five minutes in the future.", "时间不得晚于当前时间五分钟以上。"),
	judgement.Notes(judgement.RuleTimeSkew, "A time up to five minutes in the future is kept as it came, and the clock's deviation is noted.",
		"时间晚于当前时间但不超过五分钟的，按原样保存，并注明时钟偏差。"),
	judgement.Refuses(RuleEndBeforeStart, "A medicine is not last taken before it is first taken.", "结束用药的时间不得早于开始用药的时间。"),
}

// The messages of findings. None is given a value, so none can tell it.
const (
	messageCodingMissing    = "is required, with system and code"
	messageDoseMissing      = "is required, with value and ucum_unit"
	messageDoseValueMissing = "is required: how much was taken at a time"
	messageNotFinite        = "must be a finite number"
	messageDoseNotPositive  = "must be greater than 0"
	messageUnitMissing      = "is required: a UCUM code, such as mg, mL or {tbl}"
	messageUnitMalformed    = "must be a UCUM code of at most 64 visible ASCII characters, such as mg, mL, {tbl} or mg/(kg.d)"
	messageUnitSuspect      = "looks like a word or abbreviation for which UCUM has another code (ug, [IU], mL, {tbl}, [drp]); confirm it or correct it"
	messageTimeMissing      = "is required; send when it was first taken, with its offset from UTC"
	messageEndBeforeStart   = "end_time must not be before start_time; correct one of the two"
)
