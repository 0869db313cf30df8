// Package judgement holds what the rules of all kinds of records share: how a
// rule, its outcome and its explanation are written down, and the rules about
// times, texts and codings, which are the same wherever one stands. The rules of
// one kind are in its service's domain package (vitalsign, report, intake), which
// embeds a Collector.
//
// The package is pure: no clock (the caller passes now), no storage, no
// framework. Its texts tell the rule and the way out, and never a value, so that
// they may go to logs and error answers.
package judgement

// Severity is what a finding demands. Higher is worse.
type Severity int

// The severities. Zero is none of them.
const (
	// Note is stored with the record and asks for nothing.
	Note Severity = iota + 1
	// Query is stored with the record and asks the site to look at it.
	Query
	// Refuse means that nothing of the record may be stored.
	Refuse
)

// String gives note, query or refuse.
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Query:
		return "query"
	case Refuse:
		return "refuse"
	}
	return "none"
}

// Finding is one rule that a record met.
type Finding struct {
	// Rule is the stable id, one of the domain package's Rules.
	Rule string
	// RuleVersion is the version of the rules and limits that judged; empty where
	// they have none.
	RuleVersion string
	Severity    Severity
	// Fields are the paths of all fields that the rule looked at and that may be
	// wrong, as in the request, for example answers[3].coding_value.system; never
	// empty.
	Fields []string
	// Message is an English sentence: the rule and the way out. It may state
	// limits and units, never a value.
	Message string
}

// Verdict is the answer to one record.
type Verdict struct {
	// Findings come in the stable order in which the rules are applied.
	Findings []Finding
}

// Worst gives the highest severity among the findings, 0 if there are none.
func (v Verdict) Worst() Severity {
	var worst Severity
	for _, f := range v.Findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// Refused tells whether nothing of the record may be stored.
func (v Verdict) Refused() bool { return v.Worst() == Refuse }

// Collector makes the verdict on one record. Its zero value is ready.
type Collector struct {
	Verdict
	RuleVersion string // What every finding carries.
	// Most bounds the findings, 0 does not; what comes after is dropped. It must
	// leave room for a refusal behind all notes and queries that can come before.
	Most int
}

// Refuse finds that nothing of the record may be stored.
func (c *Collector) Refuse(rule, message string, fields ...string) {
	c.find(Refuse, rule, message, fields)
}

// Query finds something that the site should look at.
func (c *Collector) Query(rule, message string, fields ...string) {
	c.find(Query, rule, message, fields)
}

// Note finds something to be said and not asked.
func (c *Collector) Note(rule, message string, fields ...string) {
	c.find(Note, rule, message, fields)
}

func (c *Collector) find(severity Severity, rule, message string, fields []string) {
	if c.Most == 0 || len(c.Findings) < c.Most {
		c.Findings = append(c.Findings, Finding{
			Rule: rule, RuleVersion: c.RuleVersion, Severity: severity, Fields: fields, Message: message,
		})
	}
}
