package sqldb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func TestWriteAnswersOnlyAfterCommit(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	ctx := within(t, time.Minute)
	before, after, let := make(chan struct{}), make(chan struct{}), make(chan struct{})
	answered := make(chan error, 1)
	go func() {
		answered <- db.Write(ctx, func(tx *Tx) error {
			commit := db.writers[0].commit
			db.writers[0].commit = func() error { // on the writer's own goroutine
				before <- struct{}{}
				<-let
				err := commit()
				after <- struct{}{}
				<-let
				return err
			}
			return addNote(ctx, "a")(tx)
		})
	}()
	silent := func(when string, rows int) {
		t.Helper()
		if n := countNotes(t, db); n != rows {
			t.Errorf("%s a reader sees %d rows, want %d", when, n, rows)
		}
		select {
		case err := <-answered:
			t.Fatalf("%s Write answered already (%v)", when, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	<-before
	silent("before COMMIT", 0)
	let <- struct{}{}
	<-after
	silent("within COMMIT", 1)
	close(let)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}

func TestWriteReadsItsOwnWrites(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	ctx := within(t, time.Minute)
	for n := 1; n <= 100; n++ {
		if err := db.Write(ctx, addNote(ctx, fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
		if got := countNotes(t, db); got != n {
			t.Fatalf("after write %d a read saw %d rows", n, got)
		}
	}
}

func TestConcurrentWritersShareCommits(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	committed := commits(t)
	var callers sync.WaitGroup
	for caller := range 64 {
		callers.Go(func() {
			for n := range 20 {
				if err := writeVitals(db, int64(caller*20+n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	var n int
	if err := db.QueryRow(within(t, time.Minute), `SELECT count(*) FROM audit`).Scan(&n); err != nil || n != 64*20 {
		t.Errorf("%d audit rows (%v), want %d", n, err, 64*20)
	}
	count, functions := committed()
	if functions != 64*20 {
		t.Errorf("the commits held %d functions, want %d", functions, 64*20)
	}
	if count > functions/2 {
		t.Errorf("%d commits for %d functions: commits are not shared", count, functions)
	}
}

// commits reads the metric: how many commits there were since, of how many
// functions in all.
func commits(t *testing.T) (since func() (count, functions int)) {
	t.Helper()
	now := func() (int, int) {
		var m dto.Metric
		if err := commitSize.WithLabelValues("test").(prometheus.Metric).Write(&m); err != nil {
			t.Fatal(err)
		}
		return int(m.GetHistogram().GetSampleCount()), int(m.GetHistogram().GetSampleSum())
	}
	count, functions := now()
	return func() (int, int) {
		c, f := now()
		return c - count, f - functions
	}
}

var errMine = errors.New("mine")

func TestFailingFunctionHarmsNobodyElse(t *testing.T) {
	panics := func(*Tx) error { panic("demo-007 has a temperature") }
	for _, test := range []struct {
		name string
		bad  func(ctx context.Context) func(*Tx) error
		want func(error) bool
	}{
		{"before it wrote", func(ctx context.Context) func(*Tx) error {
			return func(*Tx) error { return errMine }
		}, func(err error) bool { return err == errMine }},
		{"after it wrote", func(ctx context.Context) func(*Tx) error {
			return func(tx *Tx) error { return errors.Join(addNote(ctx, "bad")(tx), errMine) }
		}, func(err error) bool { return errors.Is(err, errMine) }},
		{"refused by the engine", func(ctx context.Context) func(*Tx) error {
			return func(tx *Tx) error { return errors.Join(addNote(ctx, "bad")(tx), addNote(ctx, "first")(tx)) }
		}, IsUnique},
		{"and swallowed the refusal", func(ctx context.Context) func(*Tx) error {
			return func(tx *Tx) error { _, _ = addNote(ctx, "bad")(tx), addNote(ctx, "first")(tx); return nil }
		}, IsUnique},
		{"at commit", func(ctx context.Context) func(*Tx) error {
			return func(tx *Tx) error {
				_, err := tx.Exec(ctx, `INSERT INTO replies (id, note) VALUES ('bad', 'no such note')`)
				return err
			}
		}, isConstraint},
		{"by ending the transaction itself", func(ctx context.Context) func(*Tx) error {
			return func(tx *Tx) error {
				_, err := tx.Exec(ctx, `INSERT OR ROLLBACK INTO notes (id) VALUES ('first')`)
				return err
			}
		}, IsUnique},
		{"by a panic", func(context.Context) func(*Tx) error { return panics }, isPanic},
		{"by a panic after it wrote", func(ctx context.Context) func(*Tx) error {
			return func(tx *Tx) error { _ = addNote(ctx, "bad")(tx); return panics(tx) }
		}, isPanic},
		{"with rows left open", func(ctx context.Context) func(*Tx) error {
			return func(tx *Tx) error {
				if _, err := tx.Query(ctx, `SELECT id FROM notes`); err != nil {
					return err
				}
				return errMine
			}
		}, func(err error) bool { return err == errMine }},
	} {
		if test.name == "by ending the transaction itself" && onPostgres(t) {
			continue // which has no such statement
		}
		t.Run(test.name, func(t *testing.T) {
			db := openIn(t, t.TempDir(), Config{}, testMigrations)
			ctx := within(t, time.Minute)
			errs := together(t, db, addNote(ctx, "first"), test.bad(ctx), addNote(ctx, "last"))
			if errs[0] != nil || !test.want(errs[1]) || errs[2] != nil {
				t.Errorf("answers %v", errs)
			}
			if n := countNotes(t, db); n != 2 {
				t.Errorf("%d rows, want the first and the last", n)
			}
			if err := db.Write(ctx, addNote(ctx, "later")); err != nil {
				t.Errorf("the queue does not go on: %v", err)
			}
		})
	}
}

// TestAnswersAreTrue holds, for random neighbours in every batch, that a write
// was kept if and only if it was answered with nil.
func TestAnswersAreTrue(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{Batch: 16}, testMigrations)
	ctx := within(t, time.Minute)
	var kept atomic.Int64
	write := func(id string, fate int) error {
		return db.Write(ctx, func(tx *Tx) error {
			if fate == 0 {
				return errMine
			}
			if err := addNote(ctx, id)(tx); err != nil {
				return err
			}
			switch fate {
			case 1:
				return errMine
			case 2:
				panic(errMine)
			case 3:
				return addNote(ctx, id)(tx) // a second time: refused
			case 4:
				_, err := tx.Exec(ctx, `INSERT INTO replies (id, note) VALUES ($1, 'none')`, id) // refused at COMMIT
				return err
			}
			return nil
		})
	}
	var callers sync.WaitGroup
	for caller := range 64 {
		callers.Go(func() {
			for n := range 20 {
				id, fate := fmt.Sprintf("%d-%d", caller, n), rand.IntN(40)
				err := write(id, fate)
				if err == nil {
					kept.Add(1)
				}
				var there int
				if err := db.QueryRow(ctx, `SELECT count(*) FROM notes WHERE id = $1`, id).Scan(&there); err != nil {
					t.Error(err)
				}
				if (err == nil) != (fate > 4) || (there == 1) != (fate > 4) {
					t.Errorf("fate %d: answer %v, rows kept %d", fate, err, there)
				}
			}
		})
	}
	callers.Wait()
	if n := countNotes(t, db); n != int(kept.Load()) {
		t.Errorf("%d rows, %d were acknowledged", n, kept.Load())
	}
}

func isPanic(err error) bool {
	p, ok := errors.AsType[*PanicError](err)
	return ok && p.Value == "demo-007 has a temperature" && len(p.Stack) > 0 &&
		err.Error() == "sqldb: the write function panicked"
}

func TestFailuresShareTwoCommits(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	committed := commits(t)
	ctx := within(t, time.Minute)
	var functions []func(*Tx) error
	for n := range 40 {
		functions = append(functions, func(tx *Tx) error {
			if err := addNote(ctx, fmt.Sprint(n))(tx); err != nil || n%4 != 0 {
				return err
			}
			return errMine
		})
	}
	for n, err := range together(t, db, functions...) {
		if failed := errors.Is(err, errMine); failed != (n%4 == 0) {
			t.Errorf("function %d: %v", n, err)
		}
	}
	if n := countNotes(t, db); n != 30 {
		t.Errorf("%d rows, want 30", n)
	}
	// The held function's own commit, and one for the thirty.
	if count, functions := committed(); count != 2 || functions != 31 {
		t.Errorf("%d commits of %d functions, want 2 of 31: failures must not cost everyone a commit", count, functions)
	}
}

func TestWriteCancelledInTheQueue(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	release := held(t, db)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	answered, ran := make(chan error, 1), false
	go func() {
		answered <- db.Write(ctx, func(*Tx) error { ran = true; return nil })
	}()
	waitQueued(t, db, 1)
	cancel()
	wantError(t, "cancelled in the queue", <-answered, context.Canceled)
	waitQueued(t, db, 0)
	release()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if ran {
		t.Error("the function of a caller who had left was run")
	}
}

func TestWriteThatLeftBeforeItsTurnIsNotRun(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	release := held(t, db)
	answers := make(chan error, 2)
	go func() {
		answers <- db.Write(within(t, time.Minute), func(*Tx) error { cancel(); return nil })
	}()
	waitQueued(t, db, 1)
	go func() { answers <- db.Write(ctx, addNote(ctx, "left")) }()
	waitQueued(t, db, 2)
	release()
	if err := errors.Join(<-answers, <-answers); !errors.Is(err, context.Canceled) || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("answers %v, want one context.Canceled", err)
	}
	if n := countNotes(t, db); n != 0 {
		t.Error("the write of a caller who had left was committed")
	}
}

func TestWriteOutcome(t *testing.T) {
	for _, test := range []struct {
		name  string
		grace time.Duration
		want  error
	}{
		{"unknown when it does not come in time", time.Millisecond, ErrOutcomeUnknown},
		{"true when it comes promptly", time.Minute, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := openIn(t, t.TempDir(), Config{Grace: test.grace}, testMigrations)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			let := make(chan struct{})
			answered := make(chan error, 1)
			go func() {
				answered <- db.Write(ctx, func(tx *Tx) error {
					err := addNote(ctx, "a")(tx)
					cancel()
					<-let
					return err
				})
			}()
			if test.want == nil {
				<-ctx.Done()
				close(let)
				wantError(t, "prompt", <-answered, nil)
			} else {
				err := <-answered
				wantError(t, "late", err, ErrOutcomeUnknown)
				wantError(t, "late", err, context.Canceled)
				close(let)
			}
			if err := db.Write(within(t, time.Minute), func(*Tx) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if n := countNotes(t, db); n != 1 {
				t.Errorf("%d rows, want 1: the function had returned nil", n)
			}
		})
	}
}

func TestWriteQueueFull(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{Queue: 2}, testMigrations)
	ctx := within(t, time.Minute)
	release := held(t, db)
	answers := make(chan error, 2)
	for n := range 2 {
		go func() { answers <- db.Write(ctx, addNote(ctx, fmt.Sprint(n))) }()
		waitQueued(t, db, n+1)
	}
	wantError(t, "third of two", db.Write(ctx, addNote(ctx, "third")), ErrBusy)
	release()
	if err := errors.Join(<-answers, <-answers); err != nil {
		t.Error(err)
	}
	if n := countNotes(t, db); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

func TestDiskFull(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	ctx := within(t, time.Minute)
	limitPages := func(tx *Tx) error {
		return tx.QueryRow(ctx, `PRAGMA max_page_count = 1`).Scan(new(int)) // the smallest that holds what is there
	}
	if err := db.Write(ctx, limitPages); err != nil {
		t.Fatal(err)
	}
	var kept int
	for ; kept < 10_000; kept++ {
		err := db.Write(ctx, addNote(ctx, fmt.Sprintf("%01000d", kept)))
		if err == nil {
			continue
		}
		if !IsFull(err) || IsUnique(err) {
			t.Fatalf("want an error that IsFull, got %v", err)
		}
		break
	}
	errs := together(t, db, addNote(ctx, fmt.Sprintf("%01000d", -1)), func(tx *Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM notes`)
		return err
	})
	if !IsFull(errs[0]) || errs[1] != nil {
		t.Errorf("answers %v, want full and, for the one who frees, nil", errs)
	}
	if n := countNotes(t, db); n != 0 {
		t.Errorf("%d rows of %d left", n, kept)
	}
}

func TestFailedCommitAnswersTheWholeBatch(t *testing.T) {
	db := openIn(t, t.TempDir(), Config{}, testMigrations)
	ctx := within(t, time.Minute)
	broken := errors.New("disk broken")
	spoil := func(*Tx) error {
		commit := db.writers[0].commit
		db.writers[0].commit = func() error { db.writers[0].commit = commit; return broken }
		return nil
	}
	misled := func(tx *Tx) error { // by a neighbour's row that will not be kept
		return errors.Join(errMine, tx.QueryRow(ctx, `SELECT id FROM notes WHERE id = 'a'`).Scan(new(string)))
	}
	for i, err := range together(t, db, spoil, addNote(ctx, "a"), misled, addNote(ctx, "b")) {
		if errors.Is(err, errMine) {
			t.Errorf("call %d failed on a row that does not exist: %v", i, err)
		}
		wantError(t, fmt.Sprintf("call %d", i), err, broken)
	}
	if n := countNotes(t, db); n != 0 {
		t.Errorf("%d rows of a failed commit", n)
	}
	if err := db.Write(ctx, addNote(ctx, "a")); err != nil {
		t.Errorf("the queue does not go on: %v", err)
	}
}

func TestCloseCommitsWhatWaits(t *testing.T) {
	folder := t.TempDir()
	db := openIn(t, folder, Config{}, testMigrations)
	ctx := within(t, time.Minute)
	release := held(t, db)
	answers, closed := make(chan error, 3), make(chan error, 1)
	for n := range 3 {
		go func() { answers <- db.Write(ctx, addNote(ctx, fmt.Sprint(n))) }()
		waitQueued(t, db, n+1)
	}
	go func() { closed <- db.Close() }()
	for !isClosed(db) {
		time.Sleep(time.Millisecond)
	}
	wantError(t, "Write after Close", db.Write(ctx, addNote(ctx, "late")), ErrClosed)
	release()
	if err := errors.Join(<-answers, <-answers, <-answers, <-closed); err != nil {
		t.Fatal(err)
	}
	if n := countNotes(t, openIn(t, folder, Config{}, testMigrations)); n != 3 {
		t.Errorf("%d rows after Close, want 3", n)
	}
}

func isClosed(db *DB) bool {
	db.queue.mu.Lock()
	defer db.queue.mu.Unlock()
	return db.queue.closed
}
