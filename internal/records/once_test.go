package records_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	"clinsource/internal/fault"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	recordpb "clinsource/proto/record"
)

func same(t *testing.T, what string, got, want *records.Record) {
	t.Helper()
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("%s: -first +got:\n%s", what, diff)
	}
}

// Shows R36.
func TestSameIDSameContent(t *testing.T) {
	each(t, func(f *fixture) {
		d := draft("c-1", `{"v":1}`)
		d.At = noon.Add(123456789 * time.Nanosecond).In(time.FixedZone("", 7200))
		d.Findings = []*recordpb.Finding{query("bp.high")}
		first, created := f.put(d)
		if !created || first.ID == "" || first.Version != 1 || time.Since(first.Received) > time.Minute {
			f.Errorf("the first is %+v, created %v", first, created)
		}
		again, created := f.put(d)
		if created {
			f.Error("the second is created too")
		}
		same(f.T, "sent again", again, first)
		found, err := f.store.Find(f.ctx, first.ID)
		if err != nil {
			f.Fatal(err)
		}
		same(f.T, "found", found, first)
		same(f.T, "listed", f.list(everything)[0], first)
	})
}

// Shows R36.
func TestIDsAreForEver(t *testing.T) {
	each(t, func(f *fixture) {
		first, _ := f.put(draft("c-1", "one"))
		f.refused(draft("c-1", "other"), codes.AlreadyExists, fault.ReasonIDTaken)
		if other, created := f.put(of(draft("c-1", "other"), "q", "s1", "x")); !created || other.ID == first.ID {
			f.Error("another project's ids are not its own")
		}
		if n := f.number(`SELECT COUNT(*) FROM records WHERE project_id = $1`, "p"); n != 1 {
			f.Errorf("%d rows", n)
		}
	})
}

func TestWithoutIDTheContentIsTheIdentity(t *testing.T) {
	each(t, func(f *fixture) {
		first, _ := f.put(draft("", "one"))
		if again, created := f.put(draft("", "one")); created || again.ID != first.ID {
			f.Error("the same content without an id is stored twice")
		}
		if other, created := f.put(draft("", "two")); !created || other.ID == first.ID {
			f.Error("other content without an id is taken for the first")
		}
		if named, created := f.put(draft("c-1", "one")); !created || named.ID == first.ID {
			f.Error("a record with an id is taken for one without")
		}
	})
}

// TestNamesDoNotMeetHashes: whoever calls a record by another's hash gets a
// record of their own.
func TestNamesDoNotMeetHashes(t *testing.T) {
	each(t, func(f *fixture) {
		first, _ := f.put(draft("", "one"))
		if r, created := f.put(draft(records.HashOf([]byte("one")), "one")); !created || r.ID == first.ID {
			f.Error("a client_record_id stands for a hash")
		}
	})
}

func TestByContent(t *testing.T) {
	each(t, func(f *fixture) {
		image := func(id, content string) records.Draft {
			d := draft(id, content)
			d.ByContent = true
			return d
		}
		first, _ := f.put(image("c-1", "bytes"))
		for _, id := range []string{"c-1", "c-2", ""} {
			if r, created := f.put(image(id, "bytes")); created || r.ID != first.ID {
				f.Errorf("the same bytes under %q are %s, created %v", id, r.ID, created)
			}
		}
		for _, id := range []string{"c-1", "c-2"} {
			f.refused(image(id, "other bytes"), codes.AlreadyExists, fault.ReasonIDTaken)
		}
		// The refusal has not kept the content's name for a record that is not there.
		if _, created := f.put(image("c-3", "other bytes")); !created {
			f.Error("bytes that were refused under a taken id cannot be stored under another")
		}
	})
}

// TestOwnIDTwice: an id that the caller of Put makes from the content may come
// twice like any other.
func TestOwnIDTwice(t *testing.T) {
	each(t, func(f *fixture) {
		for _, byContent := range []bool{false, true} {
			d := draft("", fmt.Sprint("bytes", byContent))
			d.ID, d.ByContent = "made-"+d.Hash[:8], byContent
			first, _ := f.put(d)
			again, created := f.put(d)
			if created || first.ID != d.ID {
				f.Errorf("%s is created %v the second time", first.ID, created)
			}
			same(f.T, "again", again, first)
		}
	})
}

func TestManyAtOnceAreOne(t *testing.T) {
	each(t, func(f *fixture) {
		const callers = 64
		ids := make([]string, callers)
		var created, prepared atomic.Int64
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				d := draft("c-1", "one")
				d.Tallies = map[string]int64{"n": 1}
				d.Prepare = func(_ context.Context, _ *sqldb.Tx, r *records.Record) error {
					prepared.Add(1)
					r.Findings = append(r.Findings, query("prepared"))
					return nil
				}
				r, fresh, err := f.store.Put(f.ctx, d)
				if err != nil {
					f.Error(err)
					return
				}
				if fresh {
					created.Add(1)
				}
				if ids[i] = r.ID; len(r.Findings) != 1 {
					f.Errorf("the answer has %d findings", len(r.Findings))
				}
			})
		}
		all.Wait()
		for _, id := range ids {
			if id != ids[0] {
				f.Fatalf("the answers are %s and %s", id, ids[0])
			}
		}
		sum := f.summary(everything, "")
		if created.Load() != 1 || f.number(`SELECT COUNT(*) FROM records`) != 1 || sum.Records != 1 || sum.Tallies["n"] != 1 ||
			f.number(`SELECT COUNT(*) FROM audit_events WHERE action = 'create'`) != 1 {
			f.Errorf("%d created, %d prepared, summary %+v", created.Load(), prepared.Load(), sum)
		}
	})
}

// TestASecondRunDoublesNothing: a write that shares its batch with one that
// fails is run again.
func TestASecondRunDoublesNothing(t *testing.T) {
	each(t, func(f *fixture) {
		var runs atomic.Int64
		boom := errors.New("boom")
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				d := draft(fmt.Sprint("c-", i), fmt.Sprint(i))
				d.Findings = []*recordpb.Finding{query("given")}
				d.Unverified = true
				d.Tallies = map[string]int64{"n": 1}
				d.Prepare = func(_ context.Context, _ *sqldb.Tx, r *records.Record) error {
					runs.Add(1)
					time.Sleep(time.Millisecond) // So that others come and share.
					r.Findings = append(r.Findings, query("prepared"))
					return nil
				}
				d.Also = func(context.Context, *sqldb.Tx, *records.Record) error {
					if i%4 == 3 {
						return boom // After everything was written.
					}
					return nil
				}
				r, created, err := f.store.Put(f.ctx, d)
				if i%4 == 3 {
					if !errors.Is(err, boom) || r != nil || created {
						f.Errorf("the failing one answers %+v, %v, %v", r, created, err)
					}
					return
				}
				if err != nil || !created || len(r.Findings) != 2 {
					f.Errorf("the others answer %+v, %v, %v", r, created, err)
				}
			})
		}
		all.Wait()
		if runs.Load() <= 40 {
			f.Errorf("only %d runs of 40 writes: nothing was run twice, this shows nothing", runs.Load())
		}
		sum := f.summary(everything, "")
		if sum.Records != 30 || sum.Queried != 30 || sum.Tallies["n"] != 30 {
			f.Errorf("the summary is %+v", sum)
		}
		for _, table := range []string{"records", "record_ids", "unverified_records", "audit_events WHERE action = 'create'"} {
			if n := f.number(`SELECT COUNT(*) FROM ` + table); n != 30 {
				f.Errorf("%d rows in %s", n, table)
			}
		}
		for _, r := range f.list(everything) {
			if len(r.Findings) != 3 { // given, prepared, unverified
				f.Errorf("%d findings are stored", len(r.Findings))
			}
		}
	})
}

// TestLeavingWhileTheWriteRuns must be quiet under the race detector: the write
// goes on after Put has given up waiting.
func TestLeavingWhileTheWriteRuns(t *testing.T) {
	each(t, func(f *fixture) {
		ctx, cancel := context.WithTimeout(f.ctx, 20*time.Millisecond)
		defer cancel()
		d := draft("c-1", "one")
		d.Also = func(context.Context, *sqldb.Tx, *records.Record) error {
			time.Sleep(400 * time.Millisecond) // Beyond the deadline and sqldb's grace.
			return nil
		}
		r, created, err := f.store.Put(ctx, d)
		isFault(f.T, err, codes.DeadlineExceeded, fault.ReasonOutcomeUnknown)
		if r != nil || created {
			f.Errorf("the answer is %+v, %v", r, created)
		}
		d.Also = nil
		if _, _, err := f.store.Put(f.ctx, d); err != nil {
			f.Errorf("sent again with the same id: %v", err)
		}
		if n := f.number(`SELECT COUNT(*) FROM records`); n != 1 {
			f.Errorf("%d rows", n)
		}
	})
}

func TestHashTellsPartsApart(t *testing.T) {
	seen := map[string][]string{}
	for _, parts := range [][]string{
		nil, {""}, {"", ""}, {"a"}, {"a", ""}, {"", "a"}, {"a", "b"}, {"ab"}, {"a\x00b"}, {"a\x00", "b"}, {"a", "", "b"}, {"a", "b\x00c"}, {"a\x00b", "c"},
	} {
		var content [][]byte
		for _, p := range parts {
			content = append(content, []byte(p))
		}
		h := records.HashOf(content...)
		if other, taken := seen[h]; taken {
			t.Errorf("%q and %q have the same hash", parts, other)
		}
		if seen[h] = parts; len(h) != 64 {
			t.Errorf("the hash is %q", h)
		}
	}
}

func TestTimesWithoutAValueAreTheReceipt(t *testing.T) {
	each(t, func(f *fixture) {
		d := draft("c-1", "one")
		d.At = time.Time{}
		r, _ := f.put(d)
		if !r.At.Equal(r.Received) || r.At.Location() != time.UTC || r.At.Nanosecond()%1000 != 0 {
			f.Errorf("At is %v, Received %v", r.At, r.Received)
		}
		old := draft("c-2", "two")
		old.At = time.Date(1, 1, 2, 0, 0, 0, 999, time.UTC) // Before 1970 and between microseconds.
		first, _ := f.put(old)
		again, _ := f.put(old)
		if !reflect.DeepEqual(first.At, again.At) {
			f.Errorf("At is first %v, then %v", first.At, again.At)
		}
	})
}
