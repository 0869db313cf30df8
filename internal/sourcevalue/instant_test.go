package sourcevalue_test

import (
	"testing"
	"time"

	"clinsource/internal/sourcevalue"

	"pgregory.net/rapid"
)

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		"2026-03-01T08:30:00+08:00":           "2026-03-01T00:30:00Z",
		"2026-03-01T08:30:00Z":                "2026-03-01T08:30:00Z",
		"2026-03-01T08:30:00-00:00":           "2026-03-01T08:30:00Z",
		"2026-02-28T23:59:59.9-05:30":         "2026-03-01T05:29:59.9Z",
		"2024-02-29T00:00:00.123456789Z":      "2024-02-29T00:00:00.123456789Z",
		"2024-02-29T00:00:00.100000000Z":      "2024-02-29T00:00:00.1Z",
		"0001-01-01T00:00:00Z":                "0001-01-01T00:00:00Z",
		"9999-12-31T23:59:59.999999999Z":      "9999-12-31T23:59:59.999999999Z",
		"0001-01-01T23:59:00+23:59":           "0001-01-01T00:00:00Z",
		"1969-12-31T23:59:59.999999999-00:00": "1969-12-31T23:59:59.999999999Z",
	} {
		got, err := sourcevalue.ParseTime(text)
		if err != nil || string(sourcevalue.AppendTime(nil, got)) != want {
			t.Errorf("%s: got %v %v, want %s", text, got, err, want)
		}
	}
}

func TestParseTimeRefuses(t *testing.T) {
	for why, text := range map[string]string{
		"empty": "", "no offset": "2026-03-01T08:30:00", "no seconds": "2026-03-01T08:30Z", "date": "2026-03-01",
		"lower t": "2026-03-01t08:30:00Z", "lower z": "2026-03-01T08:30:00z", "space": "2026-03-01 08:30:00Z",
		"leap second": "2016-12-31T23:59:60Z", "second 60": "2016-06-15T12:00:60Z", "hour 24": "2026-03-01T24:00:00Z", "minute 60": "2026-03-01T08:60:00Z",
		"30 February": "2026-02-30T08:30:00Z", "29 February of no leap year": "2025-02-29T08:30:00Z", "31 April": "2026-04-31T08:30:00Z",
		"month 13": "2026-13-01T08:30:00Z", "month 0": "2026-00-01T08:30:00Z", "day 0": "2026-01-00T08:30:00Z",
		"year 0": "0000-01-01T00:00:00Z", "before year 1": "0001-01-01T00:00:00+01:00", "after year 9999": "9999-12-31T23:59:59-00:01",
		"five-digit year": "12026-03-01T08:30:00Z", "comma": "2026-03-01T08:30:00,5Z", "no fraction": "2026-03-01T08:30:00.Z",
		"10 digits": "2026-03-01T08:30:00.1234567890Z", "offset without colon": "2026-03-01T08:30:00+0800",
		"offset hour 24": "2026-03-01T08:30:00+24:00", "offset minute 60": "2026-03-01T08:30:00+08:60",
		"offset hours only": "2026-03-01T08:30:00+08", "unicode minus": "2026-03-01T08:30:00−08:00",
		"tail": "2026-03-01T08:30:00Z ", "head": " 2026-03-01T08:30:00Z", "zone name": "2026-03-01T08:30:00+08:00[Asia/Shanghai]",
		"plus in year": "+026-03-01T08:30:00Z", "fraction only": "2026-03-01T08:30:00.5",
	} {
		if got, err := sourcevalue.ParseTime(text); err == nil {
			t.Errorf("%s: %s became %v", why, text, got)
		}
	}
}

// The standard library reads more forms than we do; where we read one, we agree.
func FuzzParseTime(f *testing.F) {
	for _, text := range []string{"2026-03-01T08:30:00+08:00", "2024-02-29T00:00:00.123456789Z", "0001-01-01T23:59:00+23:59", "2016-12-31T23:59:60Z"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := sourcevalue.ParseTime(text)
		if err != nil {
			return
		}
		want, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || !want.Equal(got) {
			t.Fatalf("%q: got %v, the library %v %v", text, got, want, err)
		}
	})
}

func TestTimesSurviveTheirText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := time.FixedZone("", 60*rapid.IntRange(-14*60, 14*60).Draw(t, "offset"))
		want := time.Unix(rapid.Int64Range(-62135596800+86400, 253402300799-86400).Draw(t, "seconds"), rapid.Int64Range(0, 999999999).Draw(t, "nanos"))
		for _, text := range []string{want.In(zone).Format(time.RFC3339Nano), string(sourcevalue.AppendTime(nil, want))} {
			if got, err := sourcevalue.ParseTime(text); err != nil || !got.Equal(want) {
				t.Fatalf("%s: %v %v", text, got, err)
			}
		}
	})
}
