package records_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"clinsource/internal/fault"
	"clinsource/internal/records"
	"clinsource/internal/subjects"
	recordpb "clinsource/proto/record"
)

// asked is a registry's answer per patient, and who was asked for.
type asked struct {
	places map[string]subjects.Place
	err    error // For whoever has no place.
	names  []string
}

func (a *asked) Resolve(_ context.Context, patient string) (subjects.Place, error) {
	a.names = append(a.names, patient)
	if place, ok := a.places[patient]; ok {
		return place, nil
	}
	return subjects.Place{}, a.err
}

func unverified(id, patient string) records.Draft {
	d := of(draft(id, id), "p", "s1", patient)
	d.Unverified = true
	return d
}

// marks lists what is said of each record, by client_record_id.
func (f *fixture) marks() map[string]string {
	f.Helper()
	marks := map[string]string{}
	for _, r := range f.list(everything) {
		marks[r.ClientRecordID] = ""
		for _, finding := range r.Findings {
			marks[r.ClientRecordID] += finding.GetRuleId() + " " + finding.GetSeverity().String()
		}
	}
	return marks
}

const (
	waits  = "subject.unverified NOTE"
	failed = "subject.recheck_failed QUERY"
)

func (f *fixture) marked(want map[string]string) {
	f.Helper()
	got := f.marks()
	for id, mark := range want {
		if got[id] != mark {
			f.Errorf("%s is marked %q, want %q", id, got[id], mark)
		}
	}
}

func TestRecheckSettlesEach(t *testing.T) {
	home := subjects.Place{Project: "p", Site: "s1"}
	withdrawnAt := func(at time.Time) subjects.Place { return subjects.Place{Project: "p", Site: "s1", Withdrawn: at} }
	want := map[string]string{"right": "", "moved": failed, "elsewhere": failed, "before": "", "at": failed, "dated": "", "gone": failed, "sure": ""}
	each(t, func(f *fixture) {
		registry := &asked{err: subjects.Unseen(), places: map[string]subjects.Place{
			"right": home, "moved": {Project: "p", Site: "s2"}, "elsewhere": {Project: "q", Site: "s1"},
			"before": withdrawnAt(noon.Add(time.Microsecond)), "at": withdrawnAt(noon), "dated": withdrawnAt(noon),
		}}
		before := map[string]string{"sure": ""}
		for id := range want {
			d := unverified(id, id)
			if id == "dated" {
				d.Dated = noon.Add(-time.Hour)
			}
			if id == "sure" {
				d.Unverified = false
			} else {
				before[id] = waits
			}
			f.put(d)
		}
		f.marked(before)
		if err := f.store.RecheckOnce(f.ctx, registry); err != nil {
			f.Fatal(err)
		}
		f.marked(want)
		n := len(registry.names)
		if err := f.store.RecheckOnce(f.ctx, registry); err != nil || n != 7 || len(registry.names) != n {
			f.Errorf("%d were asked for, then %d more, %v", n, len(registry.names)-n, err)
		}
		for action, count := range map[string]int64{"verify": 3, "verify-failed": 4} {
			if got := f.number(`SELECT COUNT(*) FROM audit_events WHERE action = $1`, action); got != count {
				f.Errorf("%d audit rows say %s, want %d", got, action, count)
			}
		}
		if got := f.number(`SELECT COUNT(*) FROM records`); got != 8 {
			f.Errorf("%d records are left: a recheck removes none", got)
		}
	})
}

func TestRecheckWaitsForTheRegistry(t *testing.T) {
	each(t, func(f *fixture) {
		away := map[string]*asked{
			"stale":   {places: map[string]subjects.Place{"x": {Project: "q", Stale: true}, "y": {Project: "q", Stale: true}}},
			"failing": {err: fault.Unavailable(fault.ReasonUnavailable, "away", time.Second)},
		}
		f.put(unverified("one", "x"))
		f.put(unverified("two", "y"))
		for name, registry := range away {
			if err := f.store.RecheckOnce(f.ctx, registry); err != nil || len(registry.names) != 1 {
				f.Errorf("%s: asked %d times, %v", name, len(registry.names), err)
			}
			f.marked(map[string]string{"one": waits, "two": waits})
		}
	})
}

// TestRecheckPassesOver holds that a patient whom the registry fails on keeps
// nobody else waiting.
func TestRecheckPassesOver(t *testing.T) {
	broken := errors.New("broken")
	registry := &asked{err: broken, places: map[string]subjects.Place{"y": {Project: "p", Site: "s1"}}}
	each(t, func(f *fixture) {
		f.put(unverified("one", "x"))
		f.put(unverified("two", "y"))
		if err := f.store.RecheckOnce(f.ctx, registry); !errors.Is(err, broken) {
			f.Errorf("the failure is not reported: %v", err)
		}
		f.marked(map[string]string{"one": waits, "two": ""})
	})
}

func TestMarkDoesNotHideFindings(t *testing.T) {
	each(t, func(f *fixture) {
		d := unverified("one", "x")
		d.Findings = []*recordpb.Finding{query("given")}
		f.put(d)
		if got := f.marks()["one"]; got != "given QUERY"+waits {
			f.Errorf("the findings are %q", got)
		}
	})
}

func TestKeepRecheckingStops(t *testing.T) {
	each(t, func(f *fixture) {
		stop := f.store.KeepRechecking(&asked{})
		done := make(chan error, 1)
		go func() { done <- stop() }()
		select {
		case err := <-done:
			if err != nil {
				f.Error(err)
			}
		case <-time.After(5 * time.Second):
			f.Error("it does not stop")
		}
	})
}
