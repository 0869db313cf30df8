package vitalsign

import (
	"time"

	"clinsource/internal/judgement"
)

// measurementTime is the field of the upload's time.
const measurementTime = "measurement_time"

const messageTimeMissing = "measurement_time is missing; send the time of the measurement with its offset from UTC"

var timeTexts = judgement.TimeTexts{
	Zero:   "measurement_time is the zero of a clock that was never set (1970-01-01T00:00:00Z, or before 1900); set the device's clock and send the time of the measurement",
	Future: "measurement_time is more than 5 minutes in the future; check the device's clock and the time's offset from UTC",
	Skew:   "measurement_time is up to 5 minutes in the future; it is kept as it came, check the device's clock",
}

func (j *judge) judgeTime(now time.Time) {
	if !j.upload.HasTime {
		j.Refuse(judgement.RuleTimeMissing, messageTimeMissing, measurementTime)
		return
	}
	j.Time(measurementTime, j.upload.MeasuredAt, now, &timeTexts)
}
