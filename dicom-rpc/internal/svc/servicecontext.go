// Package svc holds what the logic of dicom-rpc works with: its store, who to ask
// where a patient belongs, and what must be closed at the end.
package svc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clinsource/dicom-rpc/dicomschema"
	"clinsource/dicom-rpc/internal/blob"
	"clinsource/dicom-rpc/internal/config"
	"clinsource/dicom-rpc/internal/resume"
	"clinsource/dicom-rpc/internal/store"
	"clinsource/internal/accounts"
	"clinsource/internal/audit"
	"clinsource/internal/auditlog"
	"clinsource/internal/auditserver"
	"clinsource/internal/auth"
	"clinsource/internal/discovery"
	"clinsource/internal/sqldb"
	"clinsource/internal/subjects"
	"clinsource/subject-rpc/accountresolver"
	"clinsource/subject-rpc/subjectresolver"
)

// ServiceContext is what every logic gets.
type ServiceContext struct {
	Store    *store.Store // The images' records.
	Images   *blob.Store  // Their bytes.
	Uploads  *resume.Uploads
	Subjects subjects.Resolver
	Accounts *accounts.Cache // What the callers' accounts may do.
	Audit    *audit.Log
	stop     []func() error
}

// openWithin bounds opening the database, migrations included.
const openWithin = time.Minute

// NewServiceContext opens the stores, connects to the registry, and begins to
// settle what a crash left undecided and to recheck what was taken while the
// registry was away.
func NewServiceContext(ctx context.Context, c config.Config, etcd *discovery.Client) (*ServiceContext, error) {
	registry, err := subjectresolver.New(c.SubjectRpc)
	if err != nil {
		return nil, fmt.Errorf("SubjectRpc: %w", err)
	}
	granted, err := accountresolver.New(c.SubjectRpc)
	if err != nil {
		return nil, fmt.Errorf("SubjectRpc: %w", err)
	}
	images, err := blob.Open(c.ImageDir, c.MaxUploads)
	if err != nil {
		return nil, fmt.Errorf("ImageDir: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	db, err := sqldb.Open(ctx, c.Place.Config(dicomschema.Name), dicomschema.Migrations())
	if err != nil {
		return nil, fmt.Errorf("storage: %w", errors.Join(err, images.Close()))
	}
	known := subjects.NewCache(registry, c.Subjects)
	etcd.OnSignal(subjects.Changed, known.Age)
	s := New(db, images, known, limits(c))
	s.Accounts = granted
	if s.Audit, err = audit.Open(ctx, db, dicomschema.Name, c.Audit); err != nil {
		return nil, errors.Join(err, images.Close(), db.Close())
	}
	s.Audit.Holds(auth.Images, s.Store.Stored)
	s.stop = append(s.stop, images.Close, db.Close, s.Audit.Close, s.Store.KeepRechecking(s.Subjects), images.KeepSettling(s.Store.Fate), s.Uploads.KeepTidy())
	return s, nil
}

// keepEnded is how long callers are told how an upload ended.
const keepEnded = 7 * 24 * time.Hour

func limits(c config.Config) resume.Limits {
	return resume.Limits{
		Bounds: store.Bounds{Open: c.MaxOpenUploads, Quota: c.ProjectQuota},
		Expiry: c.UploadExpiry, Keep: keepEnded,
	}
}

// New makes the context on an open database, an open image folder and any
// resolver.
func New(db *sqldb.DB, images *blob.Store, resolver subjects.Resolver, limits resume.Limits) *ServiceContext {
	rows := store.New(db)
	return &ServiceContext{Store: rows, Images: images, Uploads: resume.New(rows, images, limits), Subjects: resolver}
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

// Close ends what runs in the background and closes the stores.
func (s *ServiceContext) Close() error {
	var errs []error
	for i := len(s.stop) - 1; i >= 0; i-- {
		errs = append(errs, s.stop[i]())
	}
	return errors.Join(errs...)
}
