// Package logic holds one file per RPC: check the request, decide who may, call
// the store, answer. What several of them need is in this file.
package logic

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	"clinsource/internal/page"
	"clinsource/internal/subjects"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/internal/svc"
)

// Bounds of the registry's texts, in bytes, and of a clock that runs ahead.
const (
	maxName   = 256
	maxReason = 512
	maxAhead  = 5 * time.Minute
)

// refused makes the error of an outcome that is no success; field is the id
// that would be taken.
func refused(out store.Outcome, field string) error {
	switch out {
	case store.Taken:
		return fault.Exists(fault.ReasonIDTaken, field+" is taken by an entry with other content")
	case store.NoProject:
		return fault.NotFound(fault.ReasonProjectNotFound, "there is no such project")
	case store.NoSite:
		return fault.NotFound(fault.ReasonSiteNotFound, "there is no such site in the project")
	case store.NoSubject:
		return subjects.Unseen()
	}
	return nil
}

// paged is any request for a page of a project's list.
type paged interface {
	GetProjectId() string
	GetPageSize() int32
	GetPageToken() string
}

// listIn checks a request for a list within a project that exists.
func listIn(ctx context.Context, svcCtx *svc.ServiceContext, what auth.Kind, in paged) (auth.Scope, page.Request, error) {
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	if err := check.Err(); err != nil {
		return auth.Scope{}, page.Request{}, err
	}
	scope, err := subjects.InProject(ctx, auth.Read, what, in.GetProjectId())
	if err != nil {
		return scope, page.Request{}, err
	}
	p, err := page.Parse(in.GetPageSize(), in.GetPageToken(), string(what), in.GetProjectId())
	if err != nil {
		return scope, p, err
	}
	_, found, err := svcCtx.Registry.Project(ctx, in.GetProjectId())
	if err == nil && !found {
		err = refused(store.NoProject, "project_id")
	}
	return scope, p, err
}

// seen gives a subject of the project that the caller may see.
func seen(ctx context.Context, svcCtx *svc.ServiceContext, project, patient string) (store.Subject, auth.Scope, error) {
	var check ident.Checker
	check.Required("project_id", project)
	check.Required("patient_id", patient)
	if err := check.Err(); err != nil {
		return store.Subject{}, auth.Scope{}, err
	}
	scope, err := subjects.InProject(ctx, auth.Read, auth.Subjects, project)
	if err != nil {
		return store.Subject{}, scope, err
	}
	t, found, err := svcCtx.Registry.Subject(ctx, patient)
	if err != nil {
		return t, scope, err
	}
	if !found || t.Project != project || !scope.Covers(t.Site, patient) {
		return store.Subject{}, scope, subjects.Unseen()
	}
	return t, scope, nil
}

func projectOut(p store.Project) *subjectpb.Project {
	return &subjectpb.Project{ProjectId: p.ID, Title: p.Title, ReceivedTime: timestamppb.New(p.Received)}
}

func siteOut(s store.Site) *subjectpb.Site {
	return &subjectpb.Site{ProjectId: s.Project, SiteId: s.ID, Name: s.Name, ReceivedTime: timestamppb.New(s.Received)}
}

func subjectOut(t store.Subject) *subjectpb.Subject {
	out := &subjectpb.Subject{
		PatientId: t.Patient, ProjectId: t.Project, SiteId: t.Site, State: t.State, Version: t.Version,
		SourceTimeText: t.WithdrawalText, ReceivedTime: timestamppb.New(t.Received),
	}
	if !t.Withdrawal.IsZero() {
		out.WithdrawalTime = timestamppb.New(t.Withdrawal)
	}
	return out
}
