// Package sqldb is the one way a service keeps rows: an embedded SQLite file
// with its migrations, one writer that lets concurrent callers share a commit,
// and a small pool of readers.
//
// # Writing
//
// [DB.Write] queues a function. One goroutine takes all that wait, runs them
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
// # Reading
//
// [DB.Query] and [DB.QueryRow] see what was committed when they began, so a
// caller reads its own writes. Every call needs a context with a deadline.
//
// # The portable subset
//
// PostgreSQL is to run the same statements, so write what both engines read the
// same way:
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

// Config says where a database lies. The zero value of a number means its
// default.
type Config struct {
	// Path of the SQLite file. Its folder is created when missing, and file and
	// folder are then readable by this user alone.
	Path string
	// Name labels the metrics (db=Name). Default: the file name without its
	// extension.
	Name string
	// Queue bounds the functions that wait to be run: default 1024.
	Queue int
	// Batch bounds the functions of one transaction: default 256.
	Batch int
	// Readers bounds the statements that read at once. Default: one a core, at
	// least 2; more would take the writer's CPU.
	Readers int
	// Grace is how long Write waits on for the true outcome after its context
	// has ended, when its function has already been started: default 100 ms.
	Grace time.Duration
}

func (c Config) withDefaults() Config {
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

// DB is one open database. Its methods may be called from many goroutines.
type DB struct {
	cfg     Config
	queue   *queue
	writer  *writer
	readers *readers
}

// Open opens the database, creating folder and file when they are missing, and
// brings its schema up to the newest of migrations, a file system with a folder
// "sqlite" of goose files. It fails when the settings that durability rests on
// did not take effect, and when the schema is newer than migrations know. ctx
// bounds the opening, migrations included; it does not end the DB.
func Open(ctx context.Context, cfg Config, migrations fs.FS) (*DB, error) {
	cfg = cfg.withDefaults()
	db, err := open(ctx, cfg, migrations)
	if err != nil {
		return nil, fmt.Errorf("open database %s (%s): %w", cfg.Name, cfg.Path, err)
	}
	return db, nil
}

func open(ctx context.Context, cfg Config, migrations fs.FS) (*DB, error) {
	if cfg.Path == "" {
		return nil, errors.New("no path given")
	}
	if err := createFile(cfg.Path); err != nil {
		return nil, err
	}
	pool, err := openWritePool(ctx, cfg.Path)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, pool, migrations); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	q := newQueue(cfg.Queue, queueDepth.WithLabelValues(cfg.Name))
	w, err := newWriter(ctx, cfg, pool, q)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	r, err := newReaders(cfg)
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	go w.run()
	return &DB{cfg: cfg, queue: q, writer: w, readers: r}, nil
}

// Close refuses new writes (ErrClosed), commits and answers those that wait,
// moves the log into the database file and closes it. A second Close does
// nothing.
func (db *DB) Close() error {
	if !db.queue.close() {
		return nil
	}
	<-db.writer.stopped
	// Readers first: a reader left in the log would keep it from being emptied.
	return errors.Join(db.readers.close(), db.writer.close())
}
