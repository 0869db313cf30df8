package logic_test

import (
	"slices"
	"testing"
	"time"

	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/svc"
)

const (
	kilogram = vitalspb.WeightUnit_KILOGRAM
	pound    = vitalspb.WeightUnit_POUND
)

var (
	findingUnit   = "QUERY weight.unit_suspect body_weight.value,body_weight.unit"
	findingChange = "QUERY weight.change body_weight.value"
)

// 70 kg are 154.3 lb: within the limits of a person's weight, so that only the
// weight before tells that the unit is wrong.
// Shows R34.
func TestPoundsAsKilogramsAreQueried(t *testing.T) {
	const day = 24 * time.Hour
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		first := upload(t, s, weight("first", measured.Add(-90*day), 70, kilogram))
		if len(first.GetFindings()) != 0 {
			t.Errorf("nothing to compare with, and yet %q", rules(first.GetFindings()))
		}
		wrong := weight("wrong", measured.Add(-89*day), 154.3, kilogram)
		stored := upload(t, s, wrong)
		want := []string{findingChange, findingUnit}
		for name, got := range map[string][]string{
			"answer": rules(stored.GetFindings()), "resend": rules(upload(t, s, wrong).GetFindings()),
			"list": rules(listed(t, s, "p1")[0].GetFindings()),
		} {
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if newest := latest(t, s); len(newest) != 1 || !newest[0].GetQueried() || newest[0].GetRecordId() != stored.GetRecordId() {
			t.Errorf("newest values: %v", newest)
		}
		// The right unit long after: no change to speak of, but the ratio is that of the units again.
		back := upload(t, s, weight("back", measured, 70, kilogram))
		if got, want := rules(back.GetFindings()), []string{findingUnit}; !slices.Equal(got, want) {
			t.Errorf("back: %q, want %q", got, want)
		}
		if next := upload(t, s, weight("next", measured.Add(time.Hour), 154.3, pound)); len(next.GetFindings()) != 0 {
			t.Errorf("the same weight in its unit: %q", rules(next.GetFindings()))
		}
		if got := latest(t, s)[0]; got.GetQueried() || got.GetValues()[0].GetCanonical() != "69.9893" {
			t.Errorf("newest: %v", got)
		}
	})
}

// What the past makes suspicious is added to what the value alone does.
func TestHistoryKeepsTheOtherFindings(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		upload(t, s, weight("first", measured, 70, kilogram))
		both := weight("both", measured.Add(time.Hour), 90, kilogram)
		both.HeartRate = &vitalspb.HeartRate{BeatsPerMinute: 150}
		want := []string{"QUERY heart_rate.beats_per_minute.range heart_rate.beats_per_minute", findingChange}
		if got := rules(upload(t, s, both).GetFindings()); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A record that arrives late is neither the newest nor judged by what came
// after it, and what comes next is compared with the newest, not with it.
func TestAnOlderRecordArrivesLate(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		newest := upload(t, s, weight("newest", measured, 70, kilogram))
		late := upload(t, s, weight("late", measured.Add(-time.Hour), 154.3, kilogram))
		if len(late.GetFindings()) != 0 {
			t.Errorf("judged by a later record: %q", rules(late.GetFindings()))
		}
		if got := latest(t, s); len(got) != 1 || got[0].GetRecordId() != newest.GetRecordId() || got[0].GetValues()[0].GetEntered() != "70" {
			t.Errorf("newest values: %v", got)
		}
		if next := upload(t, s, weight("next", measured.Add(time.Hour), 71, kilogram)); len(next.GetFindings()) != 0 {
			t.Errorf("compared with the late record: %q", rules(next.GetFindings()))
		}
	})
}

func TestHistoryIsTheSubjectsOwn(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		upload(t, s, weight("one", measured, 70, kilogram))
		other := weight("other", measured.Add(time.Minute), 154.3, kilogram)
		other.PatientId = "p2"
		if got := upload(t, s, other); len(got.GetFindings()) != 0 {
			t.Errorf("compared with another subject: %q", rules(got.GetFindings()))
		}
	})
}

// Of two records of one time the one that came last is the newest, in the
// list as well as here.
func TestEqualTimes(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		upload(t, s, weight("one", measured, 70, kilogram))
		two := upload(t, s, weight("two", measured, 71, kilogram))
		if got := latest(t, s)[0].GetRecordId(); got != two.GetRecordId() || listed(t, s, "p1")[0].GetRecordId() != got {
			t.Errorf("newest %s, want %s", got, two.GetRecordId())
		}
	})
}
