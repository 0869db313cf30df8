package sqldb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

const postgresFolder = "postgres"

// Postgres says which schema of which PostgreSQL database, and as whom.
type Postgres struct {
	// Url is postgres://role@host:port/database with libpq's parameters (sslmode,
	// sslrootcert, several hosts, ...), and without a password.
	Url string
	// PasswordFile holds the role's password; none for a certificate or peer login.
	PasswordFile string `json:",optional"`
	// Schema is the service's own: vitals, dicom, epro, subject.
	Schema string `json:",optional"`
	// Writers and Readers bound the connections of one process.
	Writers int `json:",default=2"`
	Readers int `json:",default=8"`
}

// String names the place without what may be secret.
func (p Postgres) String() string {
	u, err := url.Parse(p.Url)
	if err != nil {
		return "PostgreSQL, schema " + p.Schema
	}
	return fmt.Sprintf("PostgreSQL %s%s, schema %s", u.Host, u.Path, p.Schema)
}

func (p Postgres) writers() int { return cmp.Or(max(p.Writers, 0), 2) }
func (p Postgres) readers() int { return cmp.Or(max(p.Readers, 0), 8) }

// How long connecting may take; how long a cancelled statement has to answer
// before its connection is given up; how long BEGIN (with its locks) and COMMIT
// may take.
const (
	connectWithin = 5 * time.Second
	cancelWithin  = 2 * time.Second
	beginWithin   = 10 * time.Second
	commitWithin  = 15 * time.Second
)

// connectionLife bounds how long a reading connection outlives the password or
// certificate that it was made with. A writer's session lives with its process.
const connectionLife = 30 * time.Minute

// settings of every session, in milliseconds where they are numbers. A replica
// that freezes inside a transaction must not hold up the others for long; the
// other bounds stand behind the contexts, for clients that have vanished.
var settings = map[string]string{
	"timezone":                            "UTC",
	"default_transaction_isolation":       "read committed",
	"lock_timeout":                        "2000",
	"idle_in_transaction_session_timeout": "5000",
	"statement_timeout":                   "60000",
	"client_connection_check_interval":    "2000",
}

// config is how a connection is made. Where the context of a statement ends, the
// server is asked to cancel it.
func (p Postgres) config() (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(p.Url)
	if err != nil {
		return nil, errors.New("Url: not a PostgreSQL URL; write postgres://role@host:port/database")
	}
	if u, err := url.Parse(p.Url); err == nil && u.User != nil {
		if _, secret := u.User.Password(); secret {
			return nil, errors.New("Url: it holds a password; put it into a file and name that by PasswordFile")
		}
	}
	if p.PasswordFile != "" {
		text, err := os.ReadFile(p.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("PasswordFile: %w", err)
		}
		c.Password = strings.TrimRight(string(text), "\r\n")
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectWithin
	}
	for name, value := range settings {
		c.RuntimeParams[name] = value
	}
	c.RuntimeParams["application_name"] = "clinsource " + p.Schema
	if p.Schema != "" {
		c.RuntimeParams["search_path"] = pgx.Identifier{p.Schema}.Sanitize()
	}
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelWithin}
	}
	return c, nil
}

// postgresEngine reads on a pool of connections that cannot write; each session
// has a connection of its own.
type postgresEngine struct {
	place Postgres
	reads *pgxpool.Pool
}

func openPostgres(ctx context.Context, p Postgres, migrations fs.FS) (engine, error) {
	if p.Schema == "" {
		return nil, errors.New("Schema: it is missing")
	}
	known, err := versions(migrations)
	if err != nil {
		return nil, err
	}
	if err := p.check(ctx, known); err != nil {
		return nil, err
	}
	c, err := p.config()
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, err
	}
	c.RuntimeParams["default_transaction_read_only"] = "on"
	pool.MaxConnLifetime, pool.MaxConnLifetimeJitter = connectionLife, connectionLife/10
	pool.ConnConfig, pool.MaxConns = c, int32(min(p.readers(), 1000))
	pool.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error { return p.refresh(c) }
	reads, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), pool)
	if err != nil {
		return nil, err
	}
	return &postgresEngine{place: p, reads: reads}, nil
}

// refresh reads password, certificate, key and authorities anew, so that they can
// be rotated under a running service.
func (p Postgres) refresh(c *pgx.ConnConfig) error {
	now, err := p.config()
	if err == nil {
		c.Password, c.TLSConfig, c.Fallbacks = now.Password, now.TLSConfig, now.Fallbacks
	}
	return err
}

// While a password is changed, the server and PasswordFile disagree for a moment:
// a connection that is refused for it just then is made again.
const (
	wrongPassword  = "28P01"
	passwordAgain  = 50 * time.Millisecond
	passwordSettle = 2 * time.Second
)

func (p Postgres) connecting(ctx context.Context, connect func() error) error {
	settled := time.Now().Add(passwordSettle)
	for {
		err := connect()
		if p.PasswordFile == "" || sqlState(err) != wrongPassword || time.Now().After(settled) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(passwordAgain):
		}
	}
}

// newestVersion is the number of the newest migration file.
func newestVersion(migrations fs.FS) (int64, error) {
	all, err := versions(migrations)
	if err != nil {
		return 0, err
	}
	return slices.Max(all), nil
}

// versions are the numbers of the migration files, at least one.
func versions(migrations fs.FS) ([]int64, error) {
	names, err := fs.Glob(migrations, postgresFolder+"/*.sql")
	if err != nil {
		return nil, err
	}
	var all []int64
	for _, name := range names {
		number, _, _ := strings.Cut(path.Base(name), "_")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migrations: %s does not begin with a number", name)
		}
		all = append(all, n)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("migrations: no file %s/*.sql; embed a folder of that name", postgresFolder)
	}
	return all, nil
}

func (e *postgresEngine) session(ctx context.Context) (session, error) {
	s := &postgresSession{ctx: context.WithoutCancel(ctx), place: e.place}
	return s, s.connect()
}

// query runs the statement and fetches its first row, so that one that met a
// connection which died while it lay idle (the server was restarted) can be run
// again on a new one: it only reads.
func (e *postgresEngine) query(ctx context.Context, query string, args []any) (cursor, error) {
	rows, err := e.try(ctx, query, args)
	if isPassing(err) {
		e.reads.Reset()
		rows, err = e.try(ctx, query, args)
	}
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (e *postgresEngine) try(ctx context.Context, query string, args []any) (*postgresRows, error) {
	var conn *pgxpool.Conn
	err := e.place.connecting(ctx, func() (err error) {
		conn, err = e.reads.Acquire(ctx)
		return err
	})
	if err != nil {
		return nil, connectFault(ctx, err)
	}
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		err = postgresFault(ctx, conn.Conn(), err)
		conn.Release()
		return nil, err
	}
	r := &postgresRows{rows: rows, ctx: ctx, conn: conn.Conn(), release: conn.Release}
	if r.peek(); r.Err() != nil {
		return nil, r.Close()
	}
	return r, nil
}

func (e *postgresEngine) close() error {
	e.reads.Close()
	return nil
}

// postgresRows are rows whose first may have been fetched already.
type postgresRows struct {
	rows    pgx.Rows
	ctx     context.Context
	conn    *pgx.Conn
	release func() // of a reader's connection
	peeked  bool
	has     bool
}

func (r *postgresRows) peek() { r.has, r.peeked = r.Next(), true }

func (r *postgresRows) Next() bool {
	if r.peeked {
		r.peeked = false
		return r.has
	}
	if r.rows.Next() {
		return true
	}
	_ = r.Close() // Err tells
	return false
}

func (r *postgresRows) Scan(dest ...any) error { return r.rows.Scan(dest...) }

func (r *postgresRows) Err() error { return postgresFault(r.ctx, r.conn, r.rows.Err()) }

func (r *postgresRows) Close() error {
	r.rows.Close()
	err := r.Err()
	if r.release != nil {
		r.release()
		r.release = nil
	}
	return err
}
