package report

import (
	"time"

	"clinsource/internal/judgement"
)

// authoredTime is the field of the report's time.
const authoredTime = "authored_time"

// LateAfter is how old a report may be before it is marked as a late entry.
const LateAfter = 30 * 24 * time.Hour

var timeTexts = judgement.UsualTimeTexts("the time when the patient completed the report")

func (j *judge) judgeTime(in Report, now time.Time) {
	if !in.HasTime {
		j.Refuse(judgement.RuleTimeMissing, messageTimeMissing, authoredTime)
		return
	}
	if j.Time(authoredTime, in.AuthoredAt, now, &timeTexts) && now.Sub(in.AuthoredAt) > LateAfter {
		j.Note(RuleReportLate, messageReportLate, authoredTime)
	}
}
