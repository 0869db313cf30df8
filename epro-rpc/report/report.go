// Package report judges one patient report: a questionnaire that a patient has
// completed. It answers with one of three outcomes for each rule: refuse (it
// cannot be read, or cannot be what a patient answered; nothing may be stored),
// query (store it, and ask the site to look) and note (store it, and say what
// was seen). No finding at all is the fourth outcome: in order.
//
// These are the rules that hold for every questionnaire: its answers have ids,
// one value each, and values of their kind. What one questionnaire asks for
// (required items, branches, scores) this package does not know.
//
// The package is pure: no clock (the caller passes now), no storage, no
// framework. Its texts tell the rule and the way out, and never a value, so that
// they may go to logs and error answers.
package report

import (
	"strconv"
	"time"

	"clinsource/internal/judgement"
)

// Report is one submitted report.
type Report struct {
	// AuthoredAt is when the patient completed it; ignored unless HasTime.
	AuthoredAt time.Time
	HasTime    bool
	Answers    []Answer
}

// Verdict is the answer to one report. Its findings come in a stable order: time,
// the answers in their order, then rules over several answers. There are at most
// MaxFindings.
type Verdict = judgement.Verdict

// MaxFindings bounds one verdict: a hostile report of 500 answers could
// otherwise grow into a much longer list of complaints.
const MaxFindings = 100

// Judge applies every rule to one report and reports everything that it finds,
// so that the caller can mend all of it at once. It is safe for concurrent use
// and takes any text without panicking. Now is the server's time.
func Judge(in Report, now time.Time) Verdict {
	j := judge{judgement.Collector{Most: MaxFindings}}
	j.judgeTime(in, now)
	switch n := len(in.Answers); {
	case n == 0:
		j.Refuse(RuleReportEmpty, messageReportEmpty, "answers")
	case n > MaxAnswers:
		j.Refuse(RuleReportTooLong, messageReportTooLong, "answers")
	default:
		for i := range in.Answers {
			j.judgeAnswer(place(i), &in.Answers[i])
		}
		j.judgeOrder(in.Answers)
		j.judgeDuplicates(in.Answers)
	}
	return j.Verdict
}

// judge collects the findings of one report.
type judge struct{ judgement.Collector }

// place is the path of an answer.
func place(i int) string { return "answers[" + strconv.Itoa(i) + "]" }
