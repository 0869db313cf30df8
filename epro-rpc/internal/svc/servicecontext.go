// Package svc holds what the logic of epro-rpc works with: its store, who to ask
// where a patient belongs, and what must be closed at the end.
package svc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clinsource/epro-rpc/eproschema"
	"clinsource/epro-rpc/internal/config"
	"clinsource/epro-rpc/internal/message"
	"clinsource/internal/accounts"
	"clinsource/internal/audit"
	"clinsource/internal/auditlog"
	"clinsource/internal/auditserver"
	"clinsource/internal/auth"
	"clinsource/internal/discovery"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/subjects"
	"clinsource/subject-rpc/accountresolver"
	"clinsource/subject-rpc/subjectresolver"
)

// ServiceContext is what every logic gets. Reports need no table of their own:
// the store is that of internal/records.
type ServiceContext struct {
	Store    *records.Store
	Subjects subjects.Resolver
	Accounts *accounts.Cache // What the callers' accounts may do.
	Audit    *audit.Log
	stop     []func() error
}

// openWithin bounds opening the database, migrations included.
const openWithin = time.Minute

// NewServiceContext opens the store, connects to the registry and begins to
// recheck what was taken while the registry was away.
func NewServiceContext(ctx context.Context, c config.Config, etcd *discovery.Client) (*ServiceContext, error) {
	registry, err := subjectresolver.New(c.SubjectRpc)
	if err != nil {
		return nil, fmt.Errorf("SubjectRpc: %w", err)
	}
	granted, err := accountresolver.New(c.SubjectRpc)
	if err != nil {
		return nil, fmt.Errorf("SubjectRpc: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	db, err := sqldb.Open(ctx, c.Place.Config(eproschema.Name), eproschema.Migrations())
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	known := subjects.NewCache(registry, c.Subjects)
	etcd.OnSignal(subjects.Changed, known.Age)
	s := New(db, known)
	s.Accounts = granted
	if s.Audit, err = audit.Open(ctx, db, eproschema.Name, c.Audit); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.Audit.Holds(auth.Reports, s.Store.Stored)
	s.stop = append(s.stop, db.Close, s.Audit.Close, s.Store.KeepRechecking(s.Subjects))
	return s, nil
}

// New makes the context on an open database and any resolver.
func New(db *sqldb.DB, resolver subjects.Resolver) *ServiceContext {
	return &ServiceContext{Store: records.NewStore(db, auth.Reports).Deriving(message.Derived()), Subjects: resolver}
}

// Refused records what the guard refused.
func (s *ServiceContext) Refused(ctx context.Context, r auditlog.Refusal) { s.Audit.Refused(ctx, r) }

// AuditServer gives the log to those who may read it. rpcserver registers services
// once before anything is open, to learn their names.
func (s *ServiceContext) AuditServer() *auditserver.Server {
	if s == nil {
		return &auditserver.Server{}
	}
	return auditserver.New(s.Audit, s.Subjects)
}

// Close ends what runs in the background and closes the store.
func (s *ServiceContext) Close() error {
	var errs []error
	for i := len(s.stop) - 1; i >= 0; i-- {
		errs = append(errs, s.stop[i]())
	}
	return errors.Join(errs...)
}
