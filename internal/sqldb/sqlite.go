package sqldb

// All that knows SQLite is in this file: how to open it, how to check it, what
// its errors mean.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	sqliteFolder = "sqlite"

	// Taking the write lock at once: a transaction that takes it at its first
	// write fails when another program wrote since its first read.
	begin = "BEGIN IMMEDIATE"

	// recursive_triggers makes INSERT OR REPLACE ask the triggers that refuse
	// DELETE; without it a REPLACE overwrites past them.
	//
	// temp_store keeps what SQLite would put into a temporary file in memory: a
	// container's root is read-only, and there the same write would fail with an I/O
	// error. No statement of a service sorts or undoes more than some thousand rows;
	// a migration that indexes a large table wants the memory for it.
	//
	// busy_timeout matters only beside a foreign program with the file open (a
	// backup, a shell): the service itself has one writer.
	writerPragmas = "_pragma=busy_timeout(5000)&_pragma=temp_store(MEMORY)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(ON)&_pragma=recursive_triggers(ON)&_pragma=cache_size(-32768)&_pragma=journal_size_limit(67108864)"
	readerPragmas = "_pragma=busy_timeout(5000)&_pragma=temp_store(MEMORY)&_pragma=query_only(ON)&_pragma=cache_size(-16384)"
)

func defaultReaders() int { return max(2, runtime.GOMAXPROCS(0)) }

// createFile makes the database file when it is missing, and the folders above
// it, and syncs the folders: else a power cut soon after could take the file's
// name with it, acknowledged rows and all. SQLite does so for its log but not for
// the database itself. The log takes over the mode of the file.
func createFile(path string) error {
	folder := filepath.Dir(path)
	missing, err := missingFolders(folder)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	for _, made := range append(missing, folder) {
		if err := syncFolder(made); err != nil {
			return err
		}
	}
	return nil
}

// missingFolders lists the folders whose entries creating folder will change.
func missingFolders(folder string) ([]string, error) {
	var changed []string
	for {
		_, err := os.Stat(folder)
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return changed, err
		}
		folder = filepath.Dir(folder)
		changed = append(changed, folder)
	}
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func openPool(path, pragmas string) (*sql.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// The path is escaped: a '?' or '%' in it is not for SQLite to interpret.
	return sql.Open("sqlite", "file:"+(&url.URL{Path: absolute}).EscapedPath()+"?"+pragmas)
}

func openWritePool(ctx context.Context, path string) (*sql.DB, error) {
	pool, err := openPool(path, writerPragmas)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1)
	if err := checkSettings(ctx, pool); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return pool, nil
}

func openReadPool(path string, size int) (*sql.DB, error) {
	pool, err := openPool(path, readerPragmas)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool, nil
}

// checkSettings asks back what the writer's durability rests on: SQLite ignores
// a pragma that it cannot follow (WAL on a file system without shared memory)
// without an error.
func checkSettings(ctx context.Context, pool *sql.DB) error {
	for _, want := range []struct{ pragma, value string }{
		{"journal_mode", "wal"},
		{"synchronous", "2"},
		{"foreign_keys", "1"},
		{"recursive_triggers", "1"},
	} {
		var got string
		if err := pool.QueryRowContext(ctx, "PRAGMA "+want.pragma).Scan(&got); err != nil {
			return fmt.Errorf("read PRAGMA %s: %w", want.pragma, err)
		}
		if got != want.value {
			return fmt.Errorf("PRAGMA %s is %s and must be %s; use a local file system with shared memory and locks",
				want.pragma, got, want.value)
		}
	}
	return nil
}

// sqliteEngine has one writer, on the one connection that can write, and a
// bounded pool of connections that cannot.
type sqliteEngine struct {
	ctx    context.Context // never cancelled, for closing
	writes *sql.DB
	reads  *sql.DB
	stmts  *statements
}

func openSQLite(ctx context.Context, cfg Config, migrations fs.FS) (engine, error) {
	if err := createFile(cfg.Path); err != nil {
		return nil, err
	}
	writes, err := openWritePool(ctx, cfg.Path)
	if err != nil {
		return nil, err
	}
	if err := migrateSQLite(ctx, writes, migrations); err != nil {
		return nil, errors.Join(err, writes.Close())
	}
	reads, err := openReadPool(cfg.Path, cfg.Readers)
	if err != nil {
		return nil, errors.Join(err, writes.Close())
	}
	return &sqliteEngine{ctx: context.WithoutCancel(ctx), writes: writes, reads: reads, stmts: newStatements(reads)}, nil
}

func (e *sqliteEngine) session(ctx context.Context) (session, error) {
	conn, err := e.writes.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("take the writer connection: %w", err)
	}
	return &sqliteSession{ctx: context.WithoutCancel(ctx), conn: conn, stmts: newStatements(conn)}, nil
}

func (e *sqliteEngine) query(ctx context.Context, query string, args []any) (cursor, error) {
	return e.stmts.query(ctx, query, args)
}

// close moves the log into the database. The readers are closed first: one left
// in the log would keep it from being emptied.
func (e *sqliteEngine) close() error {
	e.stmts.close()
	closed := e.reads.Close()
	_, err := e.writes.ExecContext(e.ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return errors.Join(closed, err, e.writes.Close())
}

// sqliteSession is the writer's connection.
type sqliteSession struct {
	ctx   context.Context // of the connection, never cancelled: see Tx
	conn  *sql.Conn
	stmts *statements
}

// lane: there is one writer, whichever process it is in.
func (s *sqliteSession) lane() int64 { return 1 }

// begin needs no keys: there is one writer, and this is it.
func (s *sqliteSession) begin([]string) error { return s.control(begin) }

func (s *sqliteSession) exec(_ context.Context, query string, args []any) (sql.Result, error) {
	return s.stmts.exec(s.ctx, query, args)
}

func (s *sqliteSession) query(ctx context.Context, query string, args []any) (cursor, error) {
	if !isSelect(query) {
		ctx = s.ctx
	}
	return s.stmts.query(ctx, query, args)
}

func (s *sqliteSession) control(statement string) error {
	_, err := s.stmts.exec(s.ctx, statement, nil)
	return err
}

// commit marks a commit that the disk failed under: its frames may be in the log
// already, and a crash now could bring them back as committed.
func (s *sqliteSession) commit() error {
	err := s.control("COMMIT")
	if code(err)&0xff == sqlite3.SQLITE_IOERR {
		return fmt.Errorf("%w (%w)", err, ErrOutcomeUnknown)
	}
	return err
}

func (s *sqliteSession) close() error {
	s.stmts.close()
	return s.conn.Close()
}

func sqliteIsUnique(err error) bool {
	c := code(err)
	return c == sqlite3.SQLITE_CONSTRAINT_UNIQUE || c == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}

func sqliteIsFull(err error) bool {
	c := code(err) & 0xff
	return c == sqlite3.SQLITE_FULL || c == sqlite3.SQLITE_IOERR
}

func sqliteIsConstraint(err error) bool { return code(err)&0xff == sqlite3.SQLITE_CONSTRAINT }

// code gives SQLite's extended result code, 0 for an error of another source.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}
