// Package svc holds what the logic of subject-rpc works with: its store, who to ask
// where a patient belongs, and what must be closed at the end.
package svc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clinsource/internal/accounts"
	"clinsource/internal/audit"
	"clinsource/internal/auditlog"
	"clinsource/internal/auditserver"
	"clinsource/internal/auth"
	"clinsource/internal/discovery"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/subjects"
	"clinsource/subject-rpc/internal/config"
	"clinsource/subject-rpc/internal/message"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/subjectschema"
)

// ServiceContext is what every logic gets.
type ServiceContext struct {
	Registry    *store.Store
	Medications *records.Store
	Subjects    subjects.Resolver
	Accounts    *accounts.Cache // What the callers' accounts may do.
	// Signal tells the other processes that a subject's state has changed, or who
	// may do what.
	Signal func(ctx context.Context, topic string) error
	Audit  *audit.Log
	db     *sqldb.DB
}

// openWithin bounds opening the database, migrations included.
const openWithin = time.Minute

// NewServiceContext opens the store.
func NewServiceContext(ctx context.Context, c config.Config, etcd *discovery.Client) (*ServiceContext, error) {
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	db, err := sqldb.Open(ctx, c.Place.Config(subjectschema.Name), subjectschema.Migrations())
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	s := New(db)
	s.Signal = etcd.Signal
	if s.Audit, err = audit.Open(ctx, db, subjectschema.Name, c.Audit); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.Audit.Holds(auth.Medications, s.Medications.Stored)
	etcd.OnSignal(accounts.Changed, s.Accounts.Age) // Another replica may have changed it.
	return s, nil
}

// New makes the context on an open database.
func New(db *sqldb.DB) *ServiceContext {
	registry := store.New(db)
	return &ServiceContext{
		Registry: registry, Medications: records.NewStore(db, auth.Medications).Deriving(message.Derived()), Subjects: local{registry}, db: db,
		Accounts: accounts.NewCache(registry.Account),
		Signal:   func(context.Context, string) error { return nil },
	}
}

// Refused records what the guard refused.
func (s *ServiceContext) Refused(ctx context.Context, r auditlog.Refusal) { s.Audit.Refused(ctx, r) }

// AuditIntake takes what the gateway refused.
func (s *ServiceContext) AuditIntake() *auditserver.Intake {
	if s == nil {
		return &auditserver.Intake{}
	}
	return auditserver.NewIntake(s.Audit)
}

// AuditServer gives the log to those who may read it. rpcserver registers services
// once before anything is open, to learn their names.
func (s *ServiceContext) AuditServer() *auditserver.Server {
	if s == nil {
		return &auditserver.Server{}
	}
	return auditserver.New(s.Audit, s.Subjects)
}

// Close makes the log's last checkpoint and closes the store.
func (s *ServiceContext) Close() error { return errors.Join(s.Audit.Close(), s.db.Close()) }

// local is the resolver of a service that lives in the registry's own process.
type local struct{ registry *store.Store }

func (l local) Resolve(ctx context.Context, patient string) (subjects.Place, error) {
	t, found, err := l.registry.Subject(ctx, patient)
	if err != nil {
		return subjects.Place{}, err
	}
	if !found {
		return subjects.Place{}, subjects.Unseen()
	}
	gaps, err := l.registry.Gaps(ctx, patient)
	return subjects.Place{Project: t.Project, Site: t.Site, Withdrawn: t.Withdrawal, Consents: subjects.NewConsents(gaps)}, err
}
