package intake

import (
	"time"

	"clinsource/internal/judgement"
)

// The fields of a record's times.
const (
	startTime = "start_time"
	endTime   = "end_time"
)

var timeTexts = judgement.UsualTimeTexts("the true time")

func (j *judge) judgeTimes(in Record, now time.Time) {
	if in.Start == nil {
		j.Refuse(judgement.RuleTimeMissing, messageTimeMissing, startTime)
	} else {
		j.Time(startTime, *in.Start, now, &timeTexts)
	}
	if in.End == nil {
		return
	}
	j.Time(endTime, *in.End, now, &timeTexts)
	if in.Start != nil && in.End.Before(*in.Start) {
		j.Refuse(RuleEndBeforeStart, messageEndBeforeStart, startTime, endTime)
	}
}
