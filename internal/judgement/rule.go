package judgement

// The ids of the rules are stable: clients branch on them, data queries and
// pages are kept under them. These are of rules that every kind of record has,
// each in its own words.
const (
	// RuleValueMissing refuses a record without something that it must have.
	RuleValueMissing = "value.missing"
	// RuleTimeMissing refuses a record without its time.
	RuleTimeMissing = "time.missing"
	// RuleTimeZero refuses the Unix epoch and times before 1900: an unset clock.
	RuleTimeZero = "time.zero"
	// RuleTimeFuture refuses a time more than MaxAhead in the future.
	RuleTimeFuture = "time.future"
	// RuleTimeSkew notes a time in the future by up to MaxAhead.
	RuleTimeSkew = "time.skew"
)

// Rule explains one rule for pages and for people.
type Rule struct {
	ID string
	// Severities are those with which it is found, the worst first.
	Severities []Severity
	// English and Chinese say the same in one sentence each.
	English, Chinese string
}

// Refuses explains a rule that refuses.
func Refuses(id, english, chinese string) Rule {
	return Rule{id, []Severity{Refuse}, english, chinese}
}

// RefusesOrQueries explains a rule that refuses the worst and queries the rest.
func RefusesOrQueries(id, english, chinese string) Rule {
	return Rule{id, []Severity{Refuse, Query}, english, chinese}
}

// Queries explains a rule that queries.
func Queries(id, english, chinese string) Rule {
	return Rule{id, []Severity{Query}, english, chinese}
}

// Notes explains a rule that notes.
func Notes(id, english, chinese string) Rule {
	return Rule{id, []Severity{Note}, english, chinese}
}
