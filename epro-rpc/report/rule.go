package report

import (
	"slices"

	"clinsource/internal/judgement"
)

// The ids of the rules are stable: clients branch on them, data queries and
// pages are kept under them. Those of times, texts and codings are judgement's.
const (
	// RuleReportLate notes a report authored more than LateAfter ago.
	RuleReportLate = "report.late"

	// RuleReportEmpty refuses a report without answers.
	RuleReportEmpty = "report.empty"
	// RuleReportTooLong refuses more than MaxAnswers answers.
	RuleReportTooLong = "report.too_long"

	// RuleAnswerValueMissing refuses an answer without a value. Zero and false
	// are values.
	RuleAnswerValueMissing = "answer.value_missing"
	// RuleLinkIDScattered refuses an item that comes again after other items.
	RuleLinkIDScattered = "link_id.scattered"
	// RuleAnswerDuplicate queries the same answer to the same item, given twice.
	RuleAnswerDuplicate = "answer.duplicate"

	// RuleValueMalformed refuses what is not a finite number of at most 40
	// characters.
	RuleValueMalformed = "value.malformed"
	// RuleNotWhole refuses an integer answer that was entered as a fraction.
	RuleNotWhole = "value.not_whole"
	// RuleDateMalformed refuses what is not a day of the calendar, YYYY-MM-DD.
	RuleDateMalformed = "date.malformed"
)

// Rules gives every rule that Judge can find.
func Rules() []judgement.Rule {
	return slices.Concat(ownRules, judgement.TextRules(), judgement.CodingRules())
}

var ownRules = []judgement.Rule{
	judgement.Refuses(judgement.RuleTimeMissing, "Every report says when the patient completed it.", "每份报告都必须给出患者的填写时间。"),
	judgement.Refuses(judgement.RuleTimeZero, "An authored time of 1970-01-01T00:00:00Z or before 1900 comes from a clock that was never set.",
		"填写时间为 1970-01-01T00:00:00Z 或早于 1900 年，说明设备时钟未设置。"),
	judgement.Refuses(judgement.RuleTimeFuture, "A report is not authored more than five minutes in the future.", "填写时间不得晚于当前时间五分钟以上。"),
	judgement.Notes(judgement.RuleTimeSkew, "A report authored up to five minutes in the future is kept as it came, and the clock's deviation is noted.",
		"填写时间晚于当前时间但不超过五分钟的，按原样保存，并注明时钟偏差。"),
	judgement.Notes(RuleReportLate, "A report that arrives more than 30 days after it was authored is marked as a late entry.",
		"填写后超过 30 天才收到的报告会标注为补报。"),
	judgement.Refuses(RuleReportEmpty, "A report holds at least one answer.", "每份报告至少要包含一个回答。"),
	judgement.Refuses(RuleReportTooLong, "A report holds at most 500 answers.", "每份报告最多包含 500 个回答。"),
	judgement.Refuses(judgement.RuleValueMissing, "Every answer names its item, and every choice its code system and code.",
		"每个回答都必须给出题目标识，每个选项都必须给出编码系统和编码。"),
	judgement.Refuses(RuleAnswerValueMissing, "Every answer has exactly one value; zero and false are values.",
		"每个回答必须且只能有一个值；0 和 false 也是值。"),
	judgement.Refuses(RuleLinkIDScattered, "Each item comes once, or, if it repeats, with its answers one after another.",
		"每个题目只能出现一次；可重复的题目，其各个回答必须相邻。"),
	judgement.Queries(RuleAnswerDuplicate, "The same answer given twice to the same item is to be looked at.",
		"同一题目出现两个完全相同的回答，需要核对。"),
	judgement.Refuses(RuleValueMalformed, "A number is finite and written with a dot and at most 40 characters.",
		"数值必须是有限的数，使用小数点，且不超过 40 个字符。"),
	judgement.Refuses(RuleNotWhole, "An integer answer is a whole number; nothing is rounded.", "整数回答必须是整数，系统不做取整。"),
	judgement.Refuses(RuleDateMalformed, "A date is a day of the calendar, YYYY-MM-DD.", "日期必须是日历中存在的一天，格式为 YYYY-MM-DD。"),
}

// The messages of findings. None is given a value, so none can tell it.
const (
	messageTimeMissing = "is required; send when the patient completed the report, with its offset from UTC"
	messageReportLate  = "is more than 30 days before the report arrived; marked as a late entry"

	messageReportEmpty   = "must hold at least one answer"
	messageReportTooLong = "must hold at most 500 answers"

	messageLinkIDMissing      = "is required: the item's id in the questionnaire"
	messageAnswerValueMissing = "must have exactly one value; leave an item that was not answered out"
	messageAnswerDuplicate    = "says the same as an answer before it to the same item; check that it was meant"

	messageValueMalformed = "must be a finite decimal number of at most 40 characters"
	messageNotWhole       = "must be a whole number; send decimals as decimal_value"
	messageDateMalformed  = "must be a day of the calendar, YYYY-MM-DD"
)
