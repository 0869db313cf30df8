package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// check refuses to run on a schema that is older than the binary, and as a role
// that could change it. A newer one is taken: migrations only add, so that the old
// binaries of a rolling upgrade run on.
func (p Postgres) check(ctx context.Context, known []int64) error {
	c, err := p.config()
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return connectFault(ctx, err)
	}
	err = p.checkSchema(ctx, conn, known)
	return errors.Join(err, conn.Close(ctx))
}

func (p Postgres) checkSchema(ctx context.Context, conn *pgx.Conn, known []int64) error {
	const remedy = "run clinctl migrate"
	if err := checkServer(ctx, conn); err != nil {
		return err
	}
	var role string
	var there, mighty bool
	err := conn.QueryRow(ctx, `SELECT current_user, to_regclass($2) IS NOT NULL,
 COALESCE((SELECT r.rolsuper OR pg_has_role(current_user, n.nspowner, 'MEMBER')
  FROM pg_roles r, pg_namespace n WHERE r.rolname = current_user AND n.nspname = $1), FALSE)`,
		p.Schema, pgx.Identifier{p.Schema, "goose_db_version"}.Sanitize()).Scan(&role, &there, &mighty)
	switch {
	case err != nil:
		return connectFault(ctx, err)
	case mighty:
		return fmt.Errorf("role %s could change and delete what must stay; connect as the service's role, which %s makes", role, "clinctl migrate")
	case !there:
		return fmt.Errorf("the schema %s is not there, or %s may not use it; %s", p.Schema, role, remedy)
	}
	var current, missing int64 // A version may come later than a greater one.
	err = conn.QueryRow(ctx, `SELECT COALESCE(MAX(version_id), 0),
 COALESCE((SELECT MAX(v) FROM unnest($1::bigint[]) AS v WHERE v NOT IN (SELECT version_id FROM goose_db_version WHERE is_applied)), 0)
 FROM goose_db_version WHERE is_applied`, known).Scan(&current, &missing)
	if err != nil {
		return connectFault(ctx, err)
	}
	if missing > 0 {
		return fmt.Errorf("the schema %s has version %d and this binary needs %d; %s", p.Schema, current, missing, remedy)
	}
	return nil
}

// Migration is what Migrate is to do.
type Migration struct {
	Owner      Postgres // whose role owns the schema; Schema names it
	Role       string   // the service's role, made if it is missing
	Password   string   // to give that role; "" leaves what it has
	Migrations fs.FS
}

// Migrated is what Migrate did.
type Migrated struct {
	From, To   int64    // schema versions
	Role       string   // "made", "there"
	Partitions []string // made ahead
}

// Migrate brings a schema up to the newest of the migrations, as its owner, makes
// the service's role and gives it its rights, and makes partitions ahead. It may
// be run again and by several at once: they wait for each other. A schema that is
// newer than the migrations is left as it is.
//
// In the files {{role}} stands for the service's role, for GRANT. A function
// make_partitions() in the schema is called at the end; it gives the names of
// those that it made.
func Migrate(ctx context.Context, m Migration) (done Migrated, err error) {
	m.Owner.Readers, m.Owner.Writers = 0, 0
	c, err := m.Owner.config()
	if err != nil {
		return done, err
	}
	for _, bound := range []string{"lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"} {
		c.RuntimeParams[bound] = "0" // ctx bounds it
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return done, connectFault(ctx, err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := checkServer(ctx, conn); err != nil {
		return done, err
	}
	// The lock is the session's and ends with it, however that ends. One for the
	// database: roles and schemas are everybody's.
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtextextended('clinsource migrate', 0))`); err != nil {
		return done, fmt.Errorf("wait for another migration to end: %w", err)
	}
	err = m.locked(ctx, conn, c, &done)
	return done, err
}

func (m Migration) locked(ctx context.Context, conn *pgx.Conn, c *pgx.ConnConfig, done *Migrated) error {
	schema, role := pgx.Identifier{m.Owner.Schema}.Sanitize(), pgx.Identifier{m.Role}.Sanitize()
	if err := m.makeRole(ctx, conn, role, done); err != nil {
		return fmt.Errorf("role %s: %w", m.Role, err)
	}
	if _, err := conn.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+schema); err != nil {
		return fmt.Errorf("create schema %s: %w", m.Owner.Schema, err)
	}
	files, err := withRole(m.Migrations, role)
	if err != nil {
		return err
	}
	pool := stdlib.OpenDB(*c)
	defer pool.Close()
	provider, err := newProvider(goose.DialectPostgres, pool, files, postgresFolder)
	if err != nil {
		return err
	}
	done.From, done.To, err = provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	if done.From < done.To {
		if _, err := provider.Up(ctx); err != nil {
			return fmt.Errorf("migrate the schema %s from version %d to %d: %w", m.Owner.Schema, done.From, done.To, err)
		}
	}
	done.To = max(done.From, done.To)
	if _, err := conn.Exec(ctx, `GRANT USAGE ON SCHEMA `+schema+` TO `+role); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `GRANT SELECT ON goose_db_version TO `+role); err != nil {
		return err
	}
	done.Partitions, err = makePartitions(ctx, conn)
	return err
}

func (m Migration) makeRole(ctx context.Context, conn *pgx.Conn, role string, done *Migrated) error {
	var there bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)`, m.Role).Scan(&there); err != nil {
		return err
	}
	done.Role = "there"
	if !there {
		done.Role = "made"
		if _, err := conn.Exec(ctx, `CREATE ROLE `+role+` LOGIN`); err != nil {
			return err
		}
	}
	if m.Password == "" {
		return nil
	}
	verifier, err := scramVerifier(m.Password)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `ALTER ROLE `+role+` PASSWORD '`+verifier+`'`) // base64 and digits; never the password itself, the server may log
	return err
}

// withRole puts the role into the files of PostgreSQL.
func withRole(migrations fs.FS, role string) (fs.FS, error) {
	names, err := fs.Glob(migrations, postgresFolder+"/*.sql")
	if err != nil {
		return nil, err
	}
	files := fstest.MapFS{}
	for _, name := range names {
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			return nil, err
		}
		files[path.Clean(name)] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(string(text), "{{role}}", role)), Mode: 0o444}
	}
	return files, nil
}

func makePartitions(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	var there bool
	if err := conn.QueryRow(ctx, `SELECT to_regprocedure('make_partitions()') IS NOT NULL`).Scan(&there); err != nil || !there {
		return nil, err
	}
	rows, err := conn.Query(ctx, `SELECT make_partitions()`)
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("make partitions ahead: %w", err)
	}
	return names, nil
}
