package logic

import (
	"context"

	"clinsource/internal/auth"
	"clinsource/internal/ident"
	"clinsource/internal/subjects"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/internal/svc"
)

// CreateSubjectLogic does one CreateSubject call.
type CreateSubjectLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewCreateSubjectLogic makes the logic of one call.
func NewCreateSubjectLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CreateSubjectLogic {
	return &CreateSubjectLogic{ctx: ctx, svcCtx: svcCtx}
}

// CreateSubject enrols a subject at a site that the caller may see.
func (l *CreateSubjectLogic) CreateSubject(in *subjectpb.CreateSubjectRequest) (*subjectpb.CreateSubjectResponse, error) {
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	check.Required("site_id", in.GetSiteId())
	check.Required("patient_id", in.GetPatientId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	scope, err := subjects.InProject(l.ctx, auth.Write, auth.Subjects, in.GetProjectId())
	if err != nil {
		return nil, err
	}
	if !scope.Covers(in.GetSiteId(), in.GetPatientId()) {
		return nil, refused(store.NoSite, "site_id")
	}
	t, out, err := l.svcCtx.Registry.CreateSubject(l.ctx,
		store.Subject{Project: in.GetProjectId(), Site: in.GetSiteId(), Patient: in.GetPatientId()}, scope.Role)
	if err != nil {
		return nil, err
	}
	if err := refused(out, "patient_id"); err != nil {
		return nil, err
	}
	return &subjectpb.CreateSubjectResponse{Subject: subjectOut(t), Created: out == store.Created}, nil
}
