// Package store keeps the registry: projects, sites and subjects, with visible
// SQL and its migrations. What is created is never changed; a withdrawal is the
// subject's next version. The outcomes that a caller can meet ("taken", "no such
// site") are values of Outcome, not errors.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"time"

	"clinsource/internal/audit"
	"clinsource/internal/auth"
	"clinsource/internal/clock"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	subjectpb "clinsource/proto/subject"
)

// Migrations of the registry; they follow those of internal/records.
//
//go:embed sqlite/*.sql postgres/*.sql
var Migrations embed.FS

// Outcome is what became of a write.
type Outcome int

// The outcomes.
const (
	Created   Outcome = iota
	Same              // It was there already, with the same content.
	Taken             // The id holds other content.
	NoProject         // The project does not exist.
	NoSite            // The site does not exist in the project.
	NoSubject         // The subject does not exist in the project.
	LastAdmin         // The caller would leave a project, or all of them, without an admin.
)

// Project, Site and Subject are the rows.
type (
	Project struct {
		ID, Title string
		Received  time.Time
	}
	Site struct {
		Project, ID, Name string
		Received          time.Time
	}
	Subject struct {
		Patient, Project, Site string
		Version                int32
		State                  subjectpb.SubjectState
		Withdrawal             time.Time
		WithdrawalText         string
		Reason                 string
		Received               time.Time
	}
)

// Store is the registry's tables.
type Store struct{ db *sqldb.DB }

// New makes the store on a database with Migrations.
func New(db *sqldb.DB) *Store { return &Store{db: db} }

// now is the time of receipt, as exact as it is kept.
func now() time.Time { return clock.Now() }

// write runs f in a transaction and gives what it came to. With an error it gives
// nothing: f may still run then, so that what it assigns is not to be read.
func write[T any](ctx context.Context, db *sqldb.DB, f func(tx *sqldb.Tx) (T, Outcome, error), keys ...string) (T, Outcome, error) {
	var stored, none T
	var out Outcome
	err := db.Write(ctx, func(tx *sqldb.Tx) (err error) {
		stored, out, err = f(tx)
		return err
	}, keys...)
	if err != nil {
		return none, 0, records.Fault(err)
	}
	return stored, out, nil
}

// CreateProject writes the project unless its id is taken.
func (s *Store) CreateProject(ctx context.Context, p Project, role auth.Role) (Project, Outcome, error) {
	p.Received = now()
	return write(ctx, s.db, func(tx *sqldb.Tx) (Project, Outcome, error) {
		n, err := inserted(tx.Exec(ctx, `INSERT INTO projects (project_id, title, received_us) VALUES ($1, $2, $3)
 ON CONFLICT (project_id) DO NOTHING`, p.ID, p.Title, p.Received.UnixMicro()))
		if err != nil {
			return p, 0, err
		}
		if n == 0 {
			stored, err := project(ctx, tx, p.ID)
			return stored, sameOrTaken(stored.Title == p.Title), err
		}
		return p, Created, audit.Insert(ctx, tx, p.Received, audit.Event{Action: "create", Kind: auth.Projects, Role: role, Project: p.ID, Record: p.ID, Version: 1})
	})
}

func sameOrTaken(same bool) Outcome {
	if same {
		return Same
	}
	return Taken
}

func inserted(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

type querier interface {
	QueryRow(ctx context.Context, query string, args ...any) *sqldb.Row
}

func project(ctx context.Context, q querier, id string) (Project, error) {
	var p Project
	var received int64
	err := q.QueryRow(ctx, `SELECT project_id, title, received_us FROM projects WHERE project_id = $1`, id).Scan(&p.ID, &p.Title, &received)
	p.Received = time.UnixMicro(received).UTC()
	return p, err
}

// Project gives one project; false if there is none.
func (s *Store) Project(ctx context.Context, id string) (Project, bool, error) {
	p, err := project(ctx, s.db, id)
	if errors.Is(err, sql.ErrNoRows) {
		return p, false, nil
	}
	return p, err == nil, records.Fault(err)
}

// Projects lists projects by id: all of them, or only those named.
func (s *Store) Projects(ctx context.Context, all bool, named []string, p page.Request, role auth.Role) ([]Project, string, error) {
	f := records.NewFilter(after(p))
	if !all {
		f.In("project_id", named)
	}
	limit := f.Arg(int64(p.Limit()))
	rows, err := s.db.Query(ctx, `SELECT project_id, title, received_us FROM projects
 WHERE project_id > $1`+f.Where+` ORDER BY project_id LIMIT `+limit, f.Args...)
	list, err := collect(rows, err, func(p *Project, received *int64) []any { return []any{&p.ID, &p.Title, received} },
		func(p *Project, received time.Time) { p.Received = received })
	if err != nil {
		return nil, "", err
	}
	list, next := page.Trim(p, list, func(p Project) page.Cursor { return page.Cursor{ID: p.ID} })
	return list, next, s.Read(ctx, audit.Event{Action: "list", Kind: auth.Projects, Role: role, Count: len(list)})
}

func after(p page.Request) string {
	if p.After == nil {
		return ""
	}
	return p.After.ID
}

// collect scans rows whose last column is the time of receipt.
func collect[T any](rows *sqldb.Rows, err error, dest func(*T, *int64) []any, received func(*T, time.Time)) ([]T, error) {
	if err != nil {
		return nil, records.Fault(err)
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		var t T
		var us int64
		if err := rows.Scan(dest(&t, &us)...); err != nil {
			return nil, err
		}
		received(&t, time.UnixMicro(us).UTC())
		list = append(list, t)
	}
	return list, records.Fault(rows.Err())
}

// CreateSite writes the site unless its id is taken in the project.
func (s *Store) CreateSite(ctx context.Context, site Site, role auth.Role) (Site, Outcome, error) {
	site.Received = now()
	return write(ctx, s.db, func(tx *sqldb.Tx) (Site, Outcome, error) {
		if _, err := project(ctx, tx, site.Project); errors.Is(err, sql.ErrNoRows) {
			return site, NoProject, nil
		} else if err != nil {
			return site, 0, err
		}
		n, err := inserted(tx.Exec(ctx, `INSERT INTO sites (project_id, site_id, name, received_us) VALUES ($1, $2, $3, $4)
 ON CONFLICT (project_id, site_id) DO NOTHING`, site.Project, site.ID, site.Name, site.Received.UnixMicro()))
		if err != nil {
			return site, 0, err
		}
		if n == 0 {
			stored, received := site, int64(0)
			err := tx.QueryRow(ctx, `SELECT name, received_us FROM sites WHERE project_id = $1 AND site_id = $2`, site.Project, site.ID).
				Scan(&stored.Name, &received)
			stored.Received = time.UnixMicro(received).UTC()
			return stored, sameOrTaken(stored.Name == site.Name), err
		}
		return site, Created, audit.Insert(ctx, tx, site.Received, audit.Event{Action: "create", Kind: auth.Sites, Role: role, Project: site.Project, Site: site.ID, Record: site.ID, Version: 1})
	})
}

// Sites lists the sites in the scope, by id.
func (s *Store) Sites(ctx context.Context, scope auth.Scope, p page.Request) ([]Site, string, error) {
	f := records.NewFilter(scope.Project, after(p))
	f.Sites("site_id", scope)
	limit := f.Arg(int64(p.Limit()))
	rows, err := s.db.Query(ctx, `SELECT project_id, site_id, name, received_us FROM sites
 WHERE project_id = $1 AND site_id > $2`+f.Where+` ORDER BY site_id LIMIT `+limit, f.Args...)
	list, err := collect(rows, err, func(t *Site, us *int64) []any { return []any{&t.Project, &t.ID, &t.Name, us} },
		func(t *Site, received time.Time) { t.Received = received })
	if err != nil {
		return nil, "", err
	}
	list, next := page.Trim(p, list, func(t Site) page.Cursor { return page.Cursor{ID: t.ID} })
	return list, next, s.Read(ctx, audit.Event{Action: "list", Kind: auth.Sites, Role: scope.Role, Project: scope.Project, Count: len(list)})
}

// Read makes the audit row of a read durable.
func (s *Store) Read(ctx context.Context, e audit.Event) error {
	return records.AuditRead(ctx, s.db, e)
}
