package sourcevalue

import (
	"errors"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// timeField is one Timestamp of a message; text is nil where it has no text
// sibling, and then only its validity is checked.
type timeField struct {
	t, text protoreflect.FieldDescriptor
}

const (
	timestampName = "google.protobuf.Timestamp"
	timeFormRule  = "must be an RFC 3339 time with seconds and offset, such as 2026-03-01T08:30:00+08:00, year 1 to 9999, at most 9 digits of a second"
)

var (
	errTime = errors.New(timeFormRule)

	// The instants that google.protobuf.Timestamp can say, in seconds.
	firstSecond = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	lastSecond  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
)

// IsTimestamp reports whether the field is (or repeats) a
// google.protobuf.Timestamp.
func IsTimestamp(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && fd.Message().FullName() == timestampName
}

// TimeOf reads a google.protobuf.Timestamp message of any implementation, in
// UTC; ok is false outside the years 1 to 9999 or with nanos outside
// 0 to 999999999.
func TimeOf(timestamp protoreflect.Message) (t time.Time, ok bool) {
	fields := timestamp.Descriptor().Fields()
	seconds := timestamp.Get(fields.ByNumber(1)).Int()
	nanos := timestamp.Get(fields.ByNumber(2)).Int()
	ok = seconds >= firstSecond && seconds <= lastSecond && nanos >= 0 && nanos < 1e9
	return time.Unix(seconds, nanos).UTC(), ok
}

// SetTime writes t into a google.protobuf.Timestamp message of any
// implementation.
func SetTime(timestamp protoreflect.Message, t time.Time) {
	fields := timestamp.Descriptor().Fields()
	timestamp.Set(fields.ByNumber(1), protoreflect.ValueOfInt64(t.Unix()))
	timestamp.Set(fields.ByNumber(2), protoreflect.ValueOfInt32(int32(t.Nanosecond()))) // #nosec G115 -- below 1e9
}

// AppendTime appends t as RFC 3339 in UTC with a trailing Z and the digits of
// the second that it needs, none to nine. t lies in the years 1 to 9999.
func AppendTime(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, time.RFC3339Nano)
}

// ParseTime reads an RFC 3339 time and gives the instant in UTC. It is stricter
// than [time.Parse]: upper-case T and Z, an offset, seconds below 60 (a leap
// second is no instant of a Timestamp), a point and at most nine digits for the
// fraction, years 1 to 9999 before and after the offset is applied. The error
// states the form and never repeats the text.
func ParseTime(text string) (time.Time, error) {
	const clock = len("2006-01-02T15:04:05")
	if len(text) < clock+1 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':' {
		return time.Time{}, errTime
	}
	year, month, day := digits(text[0:4]), digits(text[5:7]), digits(text[8:10])
	hour, minute, second := digits(text[11:13]), digits(text[14:16]), digits(text[17:19])
	if year < 1 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return time.Time{}, errTime
	}
	nanos, zone, ok := fraction(text[clock:])
	if !ok {
		return time.Time{}, errTime
	}
	offset, ok := offsetOf(zone)
	if !ok {
		return time.Time{}, errTime
	}
	local := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if local.Day() != day { // 30 February became 1 or 2 March
		return time.Time{}, errTime
	}
	t := local.Add(-offset)
	if s := t.Unix(); s < firstSecond || s > lastSecond {
		return time.Time{}, errTime
	}
	return t, nil
}

// digits reads a run of decimal digits, -1 when it holds anything else.
func digits(s string) int {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// fraction splits ".123+08:00" into nanoseconds and the offset's text.
func fraction(s string) (nanos int, zone string, ok bool) {
	if s[0] != '.' {
		return 0, s, true
	}
	end := 1
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	if end == 1 || end > 10 {
		return 0, "", false
	}
	nanos = digits(s[1:end])
	for range 10 - end {
		nanos *= 10
	}
	return nanos, s[end:], true
}

func offsetOf(zone string) (time.Duration, bool) {
	if zone == "Z" {
		return 0, true
	}
	if len(zone) != len("+08:00") || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':' {
		return 0, false
	}
	hours, minutes := digits(zone[1:3]), digits(zone[4:6])
	if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 {
		return 0, false
	}
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if zone[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// time fills the missing one of a Timestamp and its text, or holds the two
// against each other to the nanosecond: a text with fewer digits says that the
// rest are zeros, because a Timestamp that says more than the source's text has
// a source that nobody can see.
func (w *walk) time(m protoreflect.Message, f *timeField) {
	has := m.Has(f.t)
	var instant time.Time
	if has {
		var ok bool
		if instant, ok = TimeOf(m.Get(f.t).Message()); !ok {
			w.refuse(f.t, "time.invalid", "must lie in the years 1 to 9999 with nanos from 0 to 999999999")
			return
		}
	}
	if f.text == nil {
		return
	}
	text := m.Get(f.text).String()
	if text == "" {
		if has {
			var buf [40]byte
			m.Set(f.text, protoreflect.ValueOfString(string(AppendTime(buf[:0], instant))))
		}
		return
	}
	source, err := ParseTime(text)
	switch {
	case err != nil:
		w.refuse(f.text, "time.malformed", timeFormRule)
	case has && !instant.Equal(source):
		w.refuse(f.t, "time.disagrees", "is not the instant that "+w.at(f.text)+" says; send one of the two, or the same in both")
	case has:
	default:
		if other := rival(m, f.t); other != nil {
			w.refuse(f.t, "time.disagrees", w.at(f.text)+" is given, but "+w.at(other)+" is set in its place; send one of the two")
			return
		}
		SetTime(m.Mutable(f.t).Message(), source)
	}
}
