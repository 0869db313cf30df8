// Package sqldb is the one way a service keeps rows: in an embedded SQLite file,
// or in a schema of a PostgreSQL database, with its migrations, writers that let
// concurrent callers share a commit, and a small pool of readers. The two engines
// keep the same promises, and one suite of tests holds both to them.
//
// # Writing
//
// [DB.Write] queues a function. A writer takes all that wait, runs them
// one after another in ONE transaction, commits (which syncs the log to disk),
// and only then answers the callers: a nil answer means durable. An fsync costs
// several times an insert, so 64 callers who share commits write some five times
// as many rows as 64 callers who commit alone; nobody waits on purpose for
// company, the queue fills while the commit before it runs.
//
// A function may run more than once before its caller hears the outcome, and
// each time on a database without its earlier traces, so it must have no effect
// but its statements and the variables that it assigns anew on each run. It runs
// on the writer's goroutine, in everybody's way: SQL and arithmetic only, no
// calls to others (nor to Write), no waiting, no t.Fatal. It fails by returning an error, which
// undoes this function's statements and nobody else's. An outcome of the trade
// ("already there", "stale version") is better returned as a value: undoing what
// was written costs the whole batch a second run.
//
// SQLite has one writer, so every function runs alone. PostgreSQL has several,
// in this process and in other replicas: what a function reads may be changed by
// another before it commits, unless both name the same [Key].
//
// # Reading
//
// [DB.Query] and [DB.QueryRow] see what was committed when they began, so a
// caller reads its own writes. Every call needs a context with a deadline.
//
// # The portable subset
//
// Both engines run the same statements, so write what both read the same way:
//   - arguments are $1, $2, ... and bind by number; literals never hold values;
//   - columns are TEXT and BIGINT. Times are BIGINT, microseconds since 1970 in
//     UTC (time.Time.UnixMicro); decimals are TEXT; truth is BIGINT 0 or 1. A
//     time.Time or bool as an argument is refused;
//   - keys are TEXT or BIGINT values that the service makes: no AUTOINCREMENT,
//     no LastInsertId, no rowid, no upsert but ON CONFLICT (columns) DO NOTHING
//     or DO UPDATE, with RETURNING where the outcome is needed;
//   - columns are listed, order is stated, text sorts by bytes (PostgreSQL:
//     COLLATE "C"), LIKE only where letter case cannot matter;
//   - one statement a call, and no second statement before the rows of the
//     first are closed;
//   - after a statement failed the function can only return: PostgreSQL aborts
//     the transaction there, and Tx does the same here;
//   - constraints are immediate. A deferred one fails the COMMIT; the batch is
//     then run again one function at a time.
//
// Migrations differ between engines (triggers do), so each store embeds one
// folder per engine: sqlite/00001_name.sql in goose's format, with Up parts only
// where a way back would lose data.
package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

var (
	// ErrBusy says that the commit queue is full; nothing was run. Answer
	// ResourceExhausted or Unavailable and let the caller back off.
	ErrBusy = errors.New("sqldb: the commit queue is full; back off and send again")

	// ErrNoDeadline says that the context of a read or write has no deadline.
	ErrNoDeadline = errors.New("sqldb: the context has no deadline; every statement needs one")

	// ErrOutcomeUnknown says that the write may or may not have been committed:
	// its context ended while it ran, or the disk failed under its commit. The
	// caller finds out by sending the same request again under the same
	// client_record_id.
	ErrOutcomeUnknown = errors.New("sqldb: the outcome of the write is unknown; send the same request again")

	// ErrClosed says that Close was called before; nothing was run.
	ErrClosed = errors.New("sqldb: the database is closed")
)

// Config says where a database lies: Path or Postgres, exactly one of both. The
// zero value of a number means its default.
type Config struct {
	// Path of the SQLite file. Its folder is created when missing, and file and
	// folder are then readable by this user alone.
	Path string
	// Postgres is a schema of a PostgreSQL database, made by Migrate.
	Postgres *Postgres
	// Name labels the metrics (db=Name). Default: the file name without its
	// extension, or the schema.
	Name string
	// Queue bounds the functions that wait to be run: default 1024.
	Queue int
	// Batch bounds the functions of one transaction: default 256.
	Batch int
	// Readers bounds the statements that read at once. Default for SQLite: one a
	// core, at least 2; more would take the writer's CPU. PostgreSQL has its own.
	Readers int
	// Grace is how long Write waits on for the true outcome after its context
	// has ended, when its function has already been started: default 100 ms.
	Grace time.Duration
}

func (c Config) withDefaults() Config {
	if c.Name == "" && c.Postgres != nil {
		c.Name = c.Postgres.Schema
	}
	if c.Name == "" {
		base := filepath.Base(c.Path)
		c.Name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	setDefault(&c.Queue, 1024)
	setDefault(&c.Batch, 256)
	setDefault(&c.Readers, defaultReaders())
	setDefault(&c.Grace, 100*time.Millisecond)
	return c
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// place is what errors call the database.
func (c Config) place() string {
	if c.Postgres != nil {
		return c.Postgres.String()
	}
	return c.Path
}

// DB is one open database. Its methods may be called from many goroutines.
type DB struct {
	cfg     Config
	queue   *queue
	writers []*writer
	engine  engine
}

// Open opens the database. A SQLite file is created when missing and its schema
// brought up to the newest of migrations, a file system with a folder "sqlite" of
// goose files. A PostgreSQL schema must be there already, no older than the newest
// file of the folder "postgres": [Migrate] is the operator's, because this process
// has no right to change it. Open fails when the settings that durability rests
// on did not take effect. ctx bounds the opening; it does not end the DB.
func Open(ctx context.Context, cfg Config, migrations fs.FS) (*DB, error) {
	cfg = cfg.withDefaults()
	db, err := open(ctx, cfg, migrations)
	if err != nil {
		return nil, fmt.Errorf("open database %s (%s): %w", cfg.Name, cfg.place(), err)
	}
	return db, nil
}

func open(ctx context.Context, cfg Config, migrations fs.FS) (*DB, error) {
	e, writers, err := openEngine(ctx, cfg, migrations)
	if err != nil {
		return nil, err
	}
	db := &DB{cfg: cfg, engine: e, queue: newQueue(cfg.Queue, queueDepth.WithLabelValues(cfg.Name))}
	for range writers {
		on, err := e.session(ctx)
		if err != nil {
			return nil, errors.Join(err, db.closeAll())
		}
		db.writers = append(db.writers, newWriter(cfg, on, db.queue))
	}
	expect(cfg)
	for _, w := range db.writers {
		go w.run()
	}
	return db, nil
}

func openEngine(ctx context.Context, cfg Config, migrations fs.FS) (e engine, writers int, err error) {
	switch {
	case cfg.Postgres != nil && cfg.Path != "":
		return nil, 0, errors.New("both a path and a PostgreSQL database are given; give one")
	case cfg.Postgres != nil:
		e, err := openPostgres(ctx, *cfg.Postgres, migrations)
		return e, cfg.Postgres.writers(), err
	case cfg.Path != "":
		e, err := openSQLite(ctx, cfg, migrations)
		return e, 1, err
	}
	return nil, 0, errors.New("no path given")
}

// Close refuses new writes (ErrClosed), commits and answers those that wait,
// and closes the database. A second Close does nothing.
func (db *DB) Close() error {
	if !db.queue.close() {
		return nil
	}
	for _, w := range db.writers {
		<-w.stopped
	}
	return db.closeAll()
}

func (db *DB) closeAll() error {
	var errs []error
	for _, w := range db.writers {
		errs = append(errs, w.on.close())
	}
	return errors.Join(append(errs, db.engine.close())...)
}
