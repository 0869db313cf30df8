package sqldb

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
)

var testMigrations = fs.FS(fstest.MapFS{
	"sqlite/00001_tables.sql": {Data: []byte(`-- +goose Up
CREATE TABLE vitals (
	record_id TEXT PRIMARY KEY, project_id TEXT NOT NULL, site_id TEXT NOT NULL, patient_id TEXT NOT NULL,
	client_record_id TEXT NOT NULL, measured_at BIGINT NOT NULL, received_at BIGINT NOT NULL,
	systolic BIGINT, diastolic BIGINT, temperature TEXT,
	UNIQUE (project_id, client_record_id)
);
CREATE INDEX vitals_by_patient ON vitals (project_id, patient_id, measured_at);
CREATE TABLE audit (
	audit_id TEXT PRIMARY KEY, project_id TEXT NOT NULL, at BIGINT NOT NULL,
	actor TEXT NOT NULL, action TEXT NOT NULL, record_id TEXT NOT NULL
);
CREATE TABLE notes (id TEXT PRIMARY KEY, n BIGINT NOT NULL DEFAULT 0);
CREATE TABLE replies (
	id TEXT PRIMARY KEY,
	note TEXT NOT NULL REFERENCES notes (id) DEFERRABLE INITIALLY DEFERRED
);
`)},
	"sqlite/00002_audit_is_append_only.sql": {Data: []byte(`-- +goose Up
-- +goose StatementBegin
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN
	SELECT RAISE(ABORT, 'audit rows are never changed');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN
	SELECT RAISE(ABORT, 'audit rows are never deleted');
END;
-- +goose StatementEnd
`)},
	"postgres/00001_tables.sql": {Data: []byte(`-- +goose Up
CREATE TABLE vitals (
	record_id TEXT COLLATE "C" PRIMARY KEY, project_id TEXT COLLATE "C" NOT NULL, site_id TEXT NOT NULL, patient_id TEXT NOT NULL,
	client_record_id TEXT COLLATE "C" NOT NULL, measured_at BIGINT NOT NULL, received_at BIGINT NOT NULL,
	systolic BIGINT, diastolic BIGINT, temperature TEXT,
	UNIQUE (project_id, client_record_id)
);
CREATE INDEX vitals_by_patient ON vitals (project_id, patient_id, measured_at);
CREATE TABLE audit (
	audit_id TEXT COLLATE "C" PRIMARY KEY, project_id TEXT NOT NULL, at BIGINT NOT NULL,
	actor TEXT NOT NULL, action TEXT NOT NULL, record_id TEXT NOT NULL
);
CREATE TABLE notes (id TEXT COLLATE "C" PRIMARY KEY, n BIGINT NOT NULL DEFAULT 0);
CREATE TABLE replies (
	id TEXT COLLATE "C" PRIMARY KEY,
	note TEXT COLLATE "C" NOT NULL REFERENCES notes (id) DEFERRABLE INITIALLY DEFERRED
);
GRANT SELECT, INSERT ON vitals, audit TO {{role}};
GRANT SELECT, INSERT, UPDATE, DELETE ON notes, replies TO {{role}};
`)},
})

func TestMain(m *testing.M) {
	runChildIfAsked()
	goleak.VerifyTestMain(m)
}

// openIn opens folder/test.db, or in a test under TestOnPostgres a schema that
// stands for it; the test closes it at its end.
func openIn(t testing.TB, folder string, cfg Config, migrations fs.FS) *DB {
	t.Helper()
	if onPostgres(t) {
		cfg.Postgres = schemaFor(t, folder, migrations)
		cfg.Name = "test"
	} else {
		cfg.Path = filepath.Join(folder, "test.db")
	}
	return opened(t, cfg, migrations)
}

func onPostgres(t testing.TB) bool {
	return strings.HasPrefix(t.Name(), "TestOnPostgres/") || strings.Contains(t.Name(), "/postgres")
}

func opened(t testing.TB, cfg Config, migrations fs.FS) *DB {
	t.Helper()
	db, err := Open(within(t, time.Minute), cfg, migrations)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// addNote is the smallest write function.
func addNote(ctx context.Context, id string) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO notes (id) VALUES ($1)`, id)
		return err
	}
}

func countNotes(t testing.TB, db *DB) (n int) {
	t.Helper()
	if err := db.QueryRow(within(t, time.Minute), `SELECT count(*) FROM notes`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// held stops the writer inside a function of its own, so that what a test queues
// meanwhile becomes one batch. release lets it go and waits for its answer.
func held(t testing.TB, db *DB) (release func()) {
	t.Helper()
	started, let, answered := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		answered <- db.Write(within(t, time.Minute), func(*Tx) error {
			close(started)
			<-let
			return nil
		})
	}()
	<-started
	return func() {
		close(let)
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
}

// together queues the functions in order behind a held writer, so that they run
// as one batch, and gives their answers.
func together(t testing.TB, db *DB, functions ...func(*Tx) error) []error {
	t.Helper()
	release := held(t, db)
	answers := make([]chan error, len(functions))
	for i, f := range functions {
		answers[i] = make(chan error, 1)
		go func() { answers[i] <- db.Write(within(t, time.Minute), f) }()
		waitQueued(t, db, i+1)
	}
	release()
	errs := make([]error, len(functions))
	for i, answer := range answers {
		errs[i] = <-answer
	}
	return errs
}

func waitQueued(t testing.TB, db *DB, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		db.queue.mu.Lock()
		waiting := len(db.queue.waiting)
		db.queue.mu.Unlock()
		if waiting == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d calls wait in the queue, want %d", waiting, n)
		}
	}
}

func wantError(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}
