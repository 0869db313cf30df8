package subjects_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/subjects"
	subjectpb "clinsource/proto/subject"
)

// registry is a registry as a test needs it: it counts the questions, and
// answers as it is told.
type registry struct {
	asked  atomic.Int64
	answer func(ctx context.Context, patient string) (*subjectpb.ResolveSubjectResponse, error)
}

func (r *registry) ResolveSubject(ctx context.Context, in *subjectpb.ResolveSubjectRequest, _ ...grpc.CallOption) (*subjectpb.ResolveSubjectResponse, error) {
	r.asked.Add(1)
	return r.answer(ctx, in.GetPatientId())
}

type answering = func(context.Context, string) (*subjectpb.ResolveSubjectResponse, error)

func lives(project, site string) answering {
	return func(context.Context, string) (*subjectpb.ResolveSubjectResponse, error) {
		return &subjectpb.ResolveSubjectResponse{ProjectId: project, SiteId: site, State: subjectpb.SubjectState_ENROLLED}, nil
	}
}

func fails(err error) answering {
	return func(context.Context, string) (*subjectpb.ResolveSubjectResponse, error) { return nil, err }
}

func hangs(ctx context.Context, _ string) (*subjectpb.ResolveSubjectResponse, error) {
	<-ctx.Done()
	return nil, status.FromContextError(ctx.Err()).Err()
}

var (
	away    = status.Error(codes.Unavailable, "away")
	unknown = subjects.Unseen()
	config  = subjects.Config{Budget: 500 * time.Millisecond, Fresh: 2 * time.Second, Stale: 15 * time.Minute}
	home    = subjects.Place{Project: "p", Site: "s1"}
)

func newCache(answer answering) (*subjects.Cache, *registry) {
	r := &registry{answer: answer}
	return subjects.NewCache(r, config), r
}

// resolves asks and holds the answer, the number of questions so far and the
// time it took against what is wanted. Times are those of a synctest bubble.
func resolves(t *testing.T, c *subjects.Cache, r *registry, want subjects.Place, asked int64, took time.Duration) {
	t.Helper()
	start := time.Now()
	got, err := c.Resolve(t.Context(), "x")
	if err != nil || got != want {
		t.Errorf("the answer is %+v, %v; want %+v", got, err, want)
	}
	if n := r.asked.Load(); n != asked {
		t.Errorf("the registry was asked %d times, want %d", n, asked)
	}
	if d := time.Since(start); d != took {
		t.Errorf("it took %v, want %v", d, took)
	}
}

func isFault(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	if f := fault.From(err); f == nil || f.Code != code || f.Reason != reason {
		t.Errorf("the answer is %v, want %s %s", err, code, reason)
	}
}

func stale(p subjects.Place) subjects.Place {
	p.Stale = true
	return p
}

func TestFreshThenStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := newCache(lives("p", "s1"))
		resolves(t, c, r, home, 1, 0)
		time.Sleep(2*time.Second - 1)
		resolves(t, c, r, home, 1, 0)
		time.Sleep(time.Nanosecond)
		resolves(t, c, r, home, 2, 0) // Fresh no more: asked again.

		r.answer = fails(away)
		time.Sleep(2 * time.Second)
		resolves(t, c, r, stale(home), 3, 0)
		time.Sleep(999 * time.Millisecond)
		resolves(t, c, r, stale(home), 3, 0) // Not asked while taken to be away.
		time.Sleep(time.Millisecond)
		resolves(t, c, r, stale(home), 4, 0)

		r.answer = lives("p", "s2")
		time.Sleep(time.Second)
		resolves(t, c, r, subjects.Place{Project: "p", Site: "s2"}, 5, 0)
	})
}

func TestStaleIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := newCache(lives("p", "s1"))
		resolves(t, c, r, home, 1, 0)
		r.answer = fails(away)
		time.Sleep(15*time.Minute - 1)
		resolves(t, c, r, stale(home), 2, 0)
		time.Sleep(time.Nanosecond)
		_, err := c.Resolve(t.Context(), "x")
		isFault(t, err, codes.Unavailable, fault.ReasonUnavailable)
	})
}

func TestNobodyIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := newCache(fails(unknown))
		_, err := c.Resolve(t.Context(), "x")
		isFault(t, err, codes.NotFound, fault.ReasonSubjectNotFound)
		r.answer = lives("p", "s1")
		resolves(t, c, r, home, 2, 0)

		r.answer = fails(unknown) // Gone, and not served as the last known answer.
		time.Sleep(2 * time.Second)
		_, err = c.Resolve(t.Context(), "x")
		isFault(t, err, codes.NotFound, fault.ReasonSubjectNotFound)
		r.answer = fails(away)
		_, err = c.Resolve(t.Context(), "x")
		isFault(t, err, codes.Unavailable, fault.ReasonUnavailable)
	})
}

// TestNonsenseIsNobody: a refusal of one caller's id is no sign of the
// registry's absence, and looks like any unknown patient.
func TestNonsenseIsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := newCache(lives("p", "s1"))
		resolves(t, c, r, home, 1, 0)
		time.Sleep(2 * time.Second)
		r.answer = fails(fault.InvalidFields([]fault.Violation{{Field: "patient_id"}}).GRPCStatus().Err())
		_, err := c.Resolve(t.Context(), "a b")
		if err == nil || err.Error() != subjects.Unseen().Error() {
			t.Errorf("an id that is none is answered by %v", err)
		}
		r.answer = lives("p", "s1")
		resolves(t, c, r, home, 3, 0)
	})
}

func TestHungRegistryCostsOneBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := newCache(lives("p", "s1"))
		resolves(t, c, r, home, 1, 0)
		r.answer = hangs
		time.Sleep(2 * time.Second)
		resolves(t, c, r, stale(home), 2, config.Budget)
		for range 9 {
			time.Sleep(100 * time.Millisecond)
			resolves(t, c, r, stale(home), 2, 0)
		}
		time.Sleep(100 * time.Millisecond)
		resolves(t, c, r, stale(home), 3, config.Budget)
	})
}

func TestHungRegistryAndAStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newCache(hangs)
		start := time.Now()
		_, err := c.Resolve(t.Context(), "x")
		isFault(t, err, codes.Unavailable, fault.ReasonUnavailable)
		if took := time.Since(start); took != config.Budget {
			t.Errorf("it took %v, want the budget %v", took, config.Budget)
		}
	})
}

func TestCallersShareOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := newCache(func(ctx context.Context, _ string) (*subjectpb.ResolveSubjectResponse, error) {
			time.Sleep(100 * time.Millisecond)
			return lives("p", "s1")(ctx, "")
		})
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				if got, err := c.Resolve(t.Context(), "x"); err != nil || got != home {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		callers.Wait()
		if n := r.asked.Load(); n != 1 {
			t.Errorf("50 callers asked %d times", n)
		}
	})
}

func TestOneCallersLeavingSpoilsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := newCache(func(ctx context.Context, _ string) (*subjectpb.ResolveSubjectResponse, error) {
			select {
			case <-time.After(300 * time.Millisecond):
				return lives("p", "s1")(ctx, "")
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		leaving, leave := context.WithCancel(t.Context())
		short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		var callers sync.WaitGroup
		callers.Go(func() { // Asks first, and leaves.
			_, err := c.Resolve(leaving, "x")
			isFault(t, err, codes.Canceled, fault.ReasonCanceled)
		})
		synctest.Wait()
		callers.Go(func() {
			start := time.Now()
			_, err := c.Resolve(short, "x")
			isFault(t, err, codes.DeadlineExceeded, fault.ReasonTimeout)
			if took := time.Since(start); took != 200*time.Millisecond {
				t.Errorf("the caller's shorter deadline came after %v", took)
			}
		})
		callers.Go(func() { resolves(t, c, r, home, 1, 300*time.Millisecond) })
		synctest.Wait()
		leave()
		callers.Wait()
	})
}

func TestEveryOtherFailureIsAway(t *testing.T) {
	for _, err := range []error{
		status.Error(codes.Internal, "secret"), status.Error(codes.PermissionDenied, "secret"), status.Error(codes.Unimplemented, "secret"),
		errors.New("secret"), fault.Unavailable(fault.ReasonOverloaded, "full", time.Second),
	} {
		synctest.Test(t, func(t *testing.T) {
			c, r := newCache(fails(err))
			_, got := c.Resolve(t.Context(), "x")
			isFault(t, got, codes.Unavailable, fault.ReasonUnavailable)
			r.answer = lives("p", "s1")
			resolves(t, c, r, home, 2, 0) // A stranger is asked for even so.
		})
	}
}

func TestWithdrawalIsPartOfThePlace(t *testing.T) {
	withdrawn := time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)
	c, _ := newCache(func(context.Context, string) (*subjectpb.ResolveSubjectResponse, error) {
		return &subjectpb.ResolveSubjectResponse{ProjectId: "p", SiteId: "s1",
			State: subjectpb.SubjectState_WITHDRAWN, WithdrawalTime: timestamppb.New(withdrawn)}, nil
	})
	place, err := c.Resolve(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for at, refused := range map[time.Time]bool{
		withdrawn.Add(-time.Microsecond): false, withdrawn: true, withdrawn.Add(time.Nanosecond): true, withdrawn.AddDate(1, 0, 0): true,
		withdrawn.In(time.FixedZone("", 3600)): true, {}: false,
	} {
		err := place.Refuse(auth.Vitals, at, "measurement_time")
		if refused {
			isFault(t, err, codes.FailedPrecondition, fault.ReasonWithdrawn)
		} else if err != nil {
			t.Errorf("%v is refused: %v", at, err)
		}
		if (home.Refuse(auth.Vitals, at, "measurement_time")) != nil {
			t.Errorf("%v of an enrolled subject is refused", at)
		}
	}
}
