package judgement

import "time"

// MaxAhead is how far a time may lie in the future of this server's clock: the
// clocks of devices run ahead, but not by more. What will happen is a plan and
// no record.
const MaxAhead = 5 * time.Minute

// oldestYear is before the birth of anyone alive; a time before it is an unset
// clock, like the Unix epoch.
const oldestYear = 1900

// TimeTexts are the messages about one time.
type TimeTexts struct{ Zero, Future, Skew string }

// UsualTimeTexts gives the messages for a field; trueTime is what to send
// instead of the zero of a clock.
func UsualTimeTexts(trueTime string) TimeTexts {
	return TimeTexts{
		Zero:   "is the zero of a clock that was never set (1970-01-01T00:00:00Z, or before 1900); set the device's clock and send " + trueTime,
		Future: "must not be more than 5 min in the future; check the device's clock",
		Skew:   "is ahead of the server's clock by up to 5 min; kept as it came",
	}
}

// Time holds a time that came against the server's and says whether nothing was
// found. A time that must come and did not is the caller's to refuse.
func (c *Collector) Time(field string, at, now time.Time, texts *TimeTexts) bool {
	ahead := at.Sub(now)
	switch {
	case at.Equal(time.Unix(0, 0)) || at.UTC().Year() < oldestYear:
		c.Refuse(RuleTimeZero, texts.Zero, field)
	case ahead > MaxAhead:
		c.Refuse(RuleTimeFuture, texts.Future, field)
	case ahead > 0:
		c.Note(RuleTimeSkew, texts.Skew, field)
	default:
		return true
	}
	return false
}
