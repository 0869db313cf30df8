// Package intake judges one medication record: what a subject took, how much of
// it, by which way, and from when to when. It answers with one of three outcomes
// for each rule: refuse (it cannot be read, or cannot be true; nothing may be
// stored), query (store it, and ask the site to look) and note (store it, and
// say what was seen). No finding at all is the fourth outcome: in order.
//
// Which codes a code system has, which units fit a medicine and which doses are
// usual this package does not know: it holds the form of codes and of UCUM
// units, and the order of times.
//
// The package is pure: no clock (the caller passes now), no storage, no
// framework. Its texts tell the rule and the way out, and never a value, so that
// they may go to logs and error answers.
package intake

import (
	"time"

	"clinsource/internal/judgement"
)

// Record is one medication as it was sent; nil is what was not.
type Record struct {
	Medication *Coding // What was taken.
	Dose       *Dose   // How much at a time.
	Route      *Coding // The way in.
	Start      *time.Time
	End        *time.Time // nil: ongoing.
}

// Verdict is the answer to one record. Its findings come in a stable order: that
// of the contract's fields, then rules over several fields.
type Verdict = judgement.Verdict

// Judge applies every rule to one record and reports everything that it finds,
// so that the caller can mend all of it at once. It is safe for concurrent use
// and takes any text without panicking. Now is the server's time.
func Judge(in Record, now time.Time) Verdict {
	var j judge
	j.judgeCoding("medication", in.Medication)
	j.judgeDose("dose", in.Dose)
	j.judgeCoding("route", in.Route)
	j.judgeTimes(in, now)
	return j.Verdict
}

// judge collects the findings of one record.
type judge struct{ judgement.Collector }
