package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/sqldb/sqldbtest"
	"clinsource/vitals-rpc/internal/store"
)

// each runs f on an empty store of every engine.
func each(t *testing.T, f func(t *testing.T, ctx context.Context, s *store.Store)) {
	sqldbtest.Each(t, func(t *testing.T, open func(fs.FS) *sqldb.DB) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		t.Cleanup(cancel)
		f(t, ctx, store.New(open(records.WithSchema(store.Migrations))))
	})
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// everything is the scope of who sees the whole project.
var everything = auth.Scope{Project: "trial", AllSites: true, Role: auth.Monitor}

// value is a newest value of one component.
func value(patient, sign string, at time.Time, entered string) store.Latest {
	return store.Latest{
		Patient: patient, Site: "s1", Sign: sign, MeasuredAt: at, Record: "r-" + entered,
		Components: []store.Component{{Field: sign + ".value", Canonical: entered, CanonicalUnit: "kg", Entered: entered, EnteredUnit: "KILOGRAM"}},
	}
}

func remember(t *testing.T, ctx context.Context, s *store.Store, project string, values ...store.Latest) {
	t.Helper()
	if err := s.DB().Write(ctx, func(tx *sqldb.Tx) error { return store.Remember(ctx, tx, project, values) }); err != nil {
		t.Fatal(err)
	}
}

func previous(t *testing.T, ctx context.Context, s *store.Store, project, patient, sign string) (v store.Latest, found bool) {
	t.Helper()
	err := s.DB().Write(ctx, func(tx *sqldb.Tx) (err error) {
		v, found, err = store.Previous(ctx, tx, project, patient, sign)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return v, found
}

func TestRememberKeepsTheNewest(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *store.Store) {
		if _, found := previous(t, ctx, s, "trial", "p1", "body_weight"); found {
			t.Error("an empty store knows a value")
		}
		for _, step := range []struct {
			at            time.Time
			entered, want string
		}{
			{noon, "70", "70"},
			{noon.Add(-time.Microsecond), "71", "70"}, // Older: not the newest.
			{noon, "72", "72"},                        // As old, but it came last.
			{noon.Add(time.Microsecond), "73", "73"},
		} {
			remember(t, ctx, s, "trial", value("p1", "body_weight", step.at, step.entered))
			if v, found := previous(t, ctx, s, "trial", "p1", "body_weight"); !found || v.Components[0].Entered != step.want || v.Record != "r-"+step.want {
				t.Errorf("after %s: %+v, want %s", step.entered, v, step.want)
			}
		}
		for _, other := range [][3]string{{"elsewhere", "p1", "body_weight"}, {"trial", "p2", "body_weight"}, {"trial", "p1", "heart_rate"}} {
			if v, found := previous(t, ctx, s, other[0], other[1], other[2]); found {
				t.Errorf("%v has %+v", other, v)
			}
		}
	})
}

func TestAValueComesBackWhole(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *store.Store) {
		want := value("p1", "blood_pressure", noon.Add(123456*time.Microsecond), "70")
		want.Category, want.Queried, want.Site = "NORMAL", true, "s2"
		want.Components = append(want.Components, store.Component{Field: "x", Canonical: "1", CanonicalUnit: "mm[Hg]", Entered: "1.0"})
		remember(t, ctx, s, "trial", want)
		got, _ := previous(t, ctx, s, "trial", "p1", "blood_pressure")
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

// A value that is no newer changes nothing, not even in part; a write that fails
// remembers nothing.
func TestRememberBelongsToItsTransaction(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *store.Store) {
		broken := errors.New("the record was not written")
		err := s.DB().Write(ctx, func(tx *sqldb.Tx) error {
			if err := store.Remember(ctx, tx, "trial", []store.Latest{value("p1", "body_weight", noon, "70")}); err != nil {
				return err
			}
			return broken
		})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if v, found := previous(t, ctx, s, "trial", "p1", "body_weight"); found {
			t.Errorf("remembered %+v", v)
		}
	})
}

// Identifiers hold every character that a sign may hold, and the order of a
// list is that of patient and sign, not of the two joined.
func TestLatestOfPages(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *store.Store) {
		var want []string
		for _, patient := range []string{"A", "a", "a-", "a.b", "a_", "b"} {
			for _, sign := range []string{"blood_pressure", "heart_rate"} {
				remember(t, ctx, s, "trial", value(patient, sign, noon, "70"))
				want = append(want, patient+" "+sign)
			}
		}
		remember(t, ctx, s, "elsewhere", value("a", "heart_rate", noon, "70"))
		for size := int32(1); size <= 7; size++ {
			var got []string
			for token := ""; ; {
				p, err := page.Parse(size, token, "test")
				if err != nil {
					t.Fatal(err)
				}
				list, next, err := s.LatestOf(ctx, everything, p)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range list {
					got = append(got, v.Patient+" "+v.Sign)
				}
				if token = next; token == "" || len(got) > len(want) {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("by %d: %q, want %q", size, got, want)
			}
		}
	})
}

func TestLatestOfKeepsToTheScope(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *store.Store) {
		one, two := value("p1", "heart_rate", noon, "70"), value("p2", "heart_rate", noon, "70")
		two.Site = "s2"
		remember(t, ctx, s, "trial", one, two)
		for name, c := range map[string]struct {
			scope auth.Scope
			want  []string
		}{
			"all":           {everything, []string{"p1", "p2"}},
			"one site":      {auth.Scope{Project: "trial", Sites: []string{"s2"}}, []string{"p2"}},
			"no site":       {auth.Scope{Project: "trial"}, nil},
			"one patient":   {auth.Scope{Project: "trial", AllSites: true, Patient: "p1"}, []string{"p1"}},
			"other project": {auth.Scope{Project: "elsewhere", AllSites: true}, nil},
		} {
			list, next, err := s.LatestOf(ctx, c.scope, page.Request{Size: 10})
			var got []string
			for _, v := range list {
				got = append(got, v.Patient)
			}
			if err != nil || next != "" || !slices.Equal(got, c.want) {
				t.Errorf("%s: %q, next %q, %v; want %q", name, got, next, err, c.want)
			}
		}
	})
}

// To a reader, an audit row whose commit takes too long is a timeout: there is
// nothing that they might have stored.
func TestAReadIsNeverOfUnknownOutcome(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *store.Store) {
		sqldbtest.OneWriter(t, s.DB())
		release := holdWriterTwice(t, ctx, s.DB())
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		_, _, err := s.LatestOf(short, everything, page.Request{Size: 10})
		release()
		if !errors.Is(err, sqldb.ErrOutcomeUnknown) {
			t.Fatalf("the row's outcome was known: %v; this shows nothing", err)
		}
		if f := fault.From(err); f.Code != codes.DeadlineExceeded || f.Reason != fault.ReasonTimeout {
			t.Errorf("got %v, want %s", f, fault.ReasonTimeout)
		}
	})
}

// holdWriterTwice keeps the database's writer busy, so that what is queued within
// 50 ms ends up in one batch with a second hold after it, which lasts until
// release.
func holdWriterTwice(t *testing.T, ctx context.Context, db *sqldb.DB) (release func()) {
	t.Helper()
	first, second, running, ended := make(chan struct{}), make(chan struct{}), make(chan struct{}, 2), make(chan error, 2)
	hold := func(until chan struct{}) {
		ended <- db.Write(ctx, func(*sqldb.Tx) error {
			select {
			case running <- struct{}{}:
			default: // Run a second time.
			}
			<-until
			return nil
		})
	}
	go hold(first)
	<-running
	time.AfterFunc(50*time.Millisecond, func() { hold(second) })
	time.AfterFunc(100*time.Millisecond, func() { close(first) })
	return func() {
		close(second)
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAClosedStore(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, s *store.Store) {
		if err := s.DB().Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.LatestOf(ctx, everything, page.Request{Size: 10}); err == nil {
			t.Error("a closed store gives a list")
		}
	})
}
