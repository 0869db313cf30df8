package sqldb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// postgresSession is a writer's connection, made anew when it is lost.
//
// Transactions are READ COMMITTED: each statement sees what is committed when it
// begins. With that a unique key settles who was first (ON CONFLICT waits for the
// other's commit and then sees its row), and what is computed from rows is right
// under the keys of the writes, which are advisory locks taken at the start, in
// one order, before anything else is locked. SERIALIZABLE would need none, but
// would run whole batches again for every two that touched one site's counts.
type postgresSession struct {
	ctx   context.Context // never cancelled; each step bounds itself
	place Postgres
	conn  *pgx.Conn // nil when lost
	claim int64     // the lane that the connection holds
}

func (s *postgresSession) connect() error {
	ctx, cancel := context.WithTimeout(s.ctx, connectWithin)
	defer cancel()
	c, err := s.place.config()
	if err != nil {
		return err
	}
	var conn *pgx.Conn
	err = s.place.connecting(ctx, func() (err error) {
		if err = s.place.refresh(c); err == nil {
			conn, err = pgx.ConnectConfig(ctx, c)
		}
		return err
	})
	if err != nil {
		return connectFault(ctx, err)
	}
	if err := checkServer(ctx, conn); err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	if err := s.takeLane(ctx, conn); err != nil {
		return errors.Join(connectFault(ctx, err), conn.Close(ctx))
	}
	s.conn = conn
	return nil
}

// freeLane takes the first lane that no connection holds. The lock is the
// connection's and ends with it: a transaction whose COMMIT got no answer holds its
// lane until it has ended, and the connection after it takes another.
const freeLane = `SELECT n FROM generate_series(1, 100000) AS n WHERE pg_try_advisory_lock($1, n) LIMIT 1`

func (s *postgresSession) takeLane(ctx context.Context, conn *pgx.Conn) error {
	sum := sha256.Sum256([]byte("lanes of " + s.place.Schema))
	return conn.QueryRow(ctx, freeLane, int32(binary.BigEndian.Uint32(sum[:]))).Scan(&s.claim)
}

func (s *postgresSession) lane() int64 { return s.claim }

const lockKeys = `SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS k`

func (s *postgresSession) begin(keys []string) error {
	if s.conn == nil {
		if err := s.connect(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(s.ctx, beginWithin)
	defer cancel()
	both := &pgx.Batch{}
	both.Queue("BEGIN")
	if len(keys) > 0 {
		both.Queue(lockKeys, s.locks(keys))
	}
	return s.fault(ctx, s.conn.SendBatch(ctx, both).Close())
}

// locks gives the numbers of the keys, sorted: whoever takes several takes them
// in one order, so that nobody waits in a circle. Advisory locks are the whole
// database's, so the schema is part of each.
func (s *postgresSession) locks(keys []string) []int64 {
	var locks []int64
	for _, key := range keys {
		sum := sha256.Sum256([]byte(s.place.Schema + "\x00" + key))
		locks = append(locks, int64(binary.BigEndian.Uint64(sum[:])))
	}
	slices.Sort(locks)
	return slices.Compact(locks)
}

func (s *postgresSession) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	if s.conn == nil {
		return nil, errLost
	}
	tag, err := s.conn.Exec(ctx, query, args...)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return result(tag.RowsAffected()), nil
}

func (s *postgresSession) query(ctx context.Context, query string, args []any) (cursor, error) {
	if s.conn == nil {
		return nil, errLost
	}
	rows, err := s.conn.Query(ctx, query, args...)
	if err != nil {
		return nil, s.fault(ctx, err)
	}
	return &postgresRows{rows: rows, ctx: ctx, conn: s.conn}, nil
}

func (s *postgresSession) control(statement string) error {
	if s.conn == nil {
		return errLost
	}
	ctx, cancel := context.WithTimeout(s.ctx, beginWithin)
	defer cancel()
	_, err := s.conn.Exec(ctx, statement)
	return s.fault(ctx, err)
}

// commit knows that nothing was kept when the server says so with an ERROR, or
// when the connection was lost before. One that ends meanwhile may have ended
// before or after the commit; pgconn.SafeToRetry does not tell: pgx 5.12 says so
// of a COMMIT that was sent and whose answer was cut off ("conn closed").
func (s *postgresSession) commit() error {
	if s.conn == nil || s.conn.IsClosed() {
		s.conn = nil
		return errLost
	}
	ctx, cancel := context.WithTimeout(s.ctx, commitWithin)
	defer cancel()
	tag, err := s.conn.Exec(ctx, "COMMIT")
	if err == nil {
		if tag.String() != "COMMIT" {
			return fmt.Errorf("the transaction had failed before its COMMIT, which answered %s", tag)
		}
		return nil
	}
	answered, ok := errors.AsType[*pgconn.PgError](err)
	if ok && answered.SeverityUnlocalized == "ERROR" {
		return s.fault(ctx, err)
	}
	s.drop()
	return fmt.Errorf("%w (%w)", err, ErrOutcomeUnknown)
}

// fault says what an error means, and forgets a connection that is gone or of no
// use for writing.
func (s *postgresSession) fault(ctx context.Context, err error) error {
	err = postgresFault(ctx, s.conn, err)
	if s.conn.IsClosed() || sqlState(err) == readOnly {
		s.drop()
	}
	return err
}

func (s *postgresSession) drop() {
	ctx, cancel := context.WithTimeout(s.ctx, cancelWithin)
	defer cancel()
	_ = s.conn.Close(ctx) // it is lost, or about to be made anew
	s.conn = nil
}

func (s *postgresSession) close() error {
	if s.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, cancelWithin)
	defer cancel()
	return s.conn.Close(ctx)
}

// result is what Exec tells.
type result int64

func (r result) RowsAffected() (int64, error) { return int64(r), nil }

func (result) LastInsertId() (int64, error) {
	return 0, errors.New("sqldb: no engine-made ids; the service makes them")
}

// checkServer asks back what durability rests on. synchronous_commit is the
// server's default or the role's; a service that set it itself would hide that
// other clients of the same data run without.
func checkServer(ctx context.Context, conn *pgx.Conn) error {
	var commit, fsync, pages, encoding string
	var standby bool
	var version int
	err := conn.QueryRow(ctx, `SELECT current_setting('synchronous_commit'), current_setting('fsync'),
 current_setting('full_page_writes'), current_setting('server_encoding'), pg_is_in_recovery(),
 current_setting('server_version_num')::int`).Scan(&commit, &fsync, &pages, &encoding, &standby, &version)
	switch {
	case err != nil:
		return connectFault(ctx, err)
	case standby:
		return fmt.Errorf("%w: the server is a standby; name the primary, or several hosts and target_session_attrs=read-write", ErrAway)
	case version < 140000:
		return fmt.Errorf("the server has version %d and must have 14 or newer", version/10000)
	case commit != "on" && commit != "remote_apply":
		return fmt.Errorf("synchronous_commit is %s and must be on: what is acknowledged must be on disk", commit)
	case fsync != "on" || pages != "on":
		return fmt.Errorf("fsync is %s and full_page_writes is %s; both must be on: what is acknowledged must be on disk", fsync, pages)
	case encoding != "UTF8":
		return fmt.Errorf("the database's encoding is %s and must be UTF8", encoding)
	}
	return nil
}
