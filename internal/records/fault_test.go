package records_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/internal/fault"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/sqldb/sqldbtest"
)

func TestFaultOfTheStorage(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		code   codes.Code
		reason string
		retry  bool
	}{
		"busy":            {sqldb.ErrBusy, codes.ResourceExhausted, fault.ReasonOverloaded, true},
		"unknown":         {fmt.Errorf("%w (%w)", sqldb.ErrOutcomeUnknown, context.DeadlineExceeded), codes.DeadlineExceeded, fault.ReasonOutcomeUnknown, false},
		"unknown, left":   {fmt.Errorf("%w (%w)", sqldb.ErrOutcomeUnknown, context.Canceled), codes.DeadlineExceeded, fault.ReasonOutcomeUnknown, false},
		"away":            {sqldb.ErrAway, codes.Unavailable, fault.ReasonUnavailable, true},
		"closed":          {sqldb.ErrClosed, codes.Unavailable, fault.ReasonUnavailable, true},
		"late":            {context.DeadlineExceeded, codes.DeadlineExceeded, fault.ReasonTimeout, false},
		"left":            {context.Canceled, codes.Canceled, fault.ReasonCanceled, false},
		"no deadline":     {sqldb.ErrNoDeadline, codes.Internal, fault.ReasonInternal, false},
		"anything":        {errors.New("no such table: x"), codes.Internal, fault.ReasonInternal, false},
		"a refusal stays": {fault.Exists(fault.ReasonIDTaken, "taken"), codes.AlreadyExists, fault.ReasonIDTaken, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := records.Fault(fmt.Errorf("write: %w", c.err))
			isFault(t, err, c.code, c.reason)
			if !errors.Is(err, c.err) {
				t.Error("the cause is lost")
			}
			if retry := fault.From(err).RetryAfter; (retry > 0) != c.retry {
				t.Errorf("it says to try again after %v", retry)
			}
		})
	}
	if records.Fault(nil) != nil {
		t.Error("nil does not stay nil")
	}
}

func TestClosedDatabase(t *testing.T) {
	each(t, func(f *fixture) {
		if err := f.db.Close(); err != nil {
			f.Fatal(err)
		}
		f.refused(draft("c-1", "one"), codes.Unavailable, fault.ReasonUnavailable)
	})
}

func TestNoDeadlineIsOurMistake(t *testing.T) {
	each(t, func(f *fixture) {
		_, _, err := f.store.Put(context.Background(), draft("c-1", "one"))
		isFault(f.T, err, codes.Internal, fault.ReasonInternal)
	})
}

// TestAReadIsNeverOfUnknownOutcome: to a reader, an audit row whose commit takes
// too long is a timeout; there is nothing that they might have stored.
func TestAReadIsNeverOfUnknownOutcome(t *testing.T) {
	each(t, func(f *fixture) {
		sqldbtest.OneWriter(f.T, f.db)
		first, second := f.holdWriter(), make(chan func())
		ctx, cancel := context.WithTimeout(f.ctx, 300*time.Millisecond)
		defer cancel()
		go func() {
			time.Sleep(100 * time.Millisecond) // The read's row is in the queue by now.
			time.AfterFunc(20*time.Millisecond, first)
			second <- f.holdWriter() // Behind it, in the same batch.
		}()
		_, err := f.store.Summarize(ctx, everything, "")
		isFault(f.T, err, codes.DeadlineExceeded, fault.ReasonTimeout)
		if !errors.Is(err, sqldb.ErrOutcomeUnknown) {
			f.Errorf("the row's outcome was known: %v; this shows nothing", errors.Unwrap(err))
		}
		(<-second)()
	})
}

// holdWriter keeps the database's writer busy until the function that it gives
// is called.
func (f *fixture) holdWriter() (release func()) {
	running, free, ended := make(chan struct{}, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- f.db.Write(f.ctx, func(*sqldb.Tx) error {
			select {
			case running <- struct{}{}:
			default: // Run a second time.
			}
			<-free
			return nil
		})
	}()
	<-running
	return func() {
		close(free)
		if err := <-ended; err != nil {
			f.Error(err)
		}
	}
}

func TestSchemasDoNotShareNames(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("two migrations of one name are merged")
		}
	}()
	records.WithSchema(fstest.MapFS{"sqlite/00002_records.sql": {}})
}

func TestSchemaOfEveryEngineIsThere(t *testing.T) {
	for _, name := range []string{"sqlite/00001_audit_events.sql", "sqlite/00002_records.sql", "sqlite/00003_own.sql",
		"postgres/00001_audit_events.sql", "postgres/00002_records.sql"} {
		if _, err := fs.Stat(records.WithSchema(fstest.MapFS{"sqlite/00003_own.sql": {}}), name); err != nil {
			t.Error(err)
		}
	}
}
