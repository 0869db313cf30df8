package logic

import (
	"context"

	"clinsource/internal/audit"
	"clinsource/internal/auth"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/svc"
)

// GetSubjectLogic does one GetSubject call.
type GetSubjectLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetSubjectLogic makes the logic of one call.
func NewGetSubjectLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetSubjectLogic {
	return &GetSubjectLogic{ctx: ctx, svcCtx: svcCtx}
}

// GetSubject gives one subject that the caller may see.
func (l *GetSubjectLogic) GetSubject(in *subjectpb.GetSubjectRequest) (*subjectpb.GetSubjectResponse, error) {
	t, scope, err := seen(l.ctx, l.svcCtx, in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, err
	}
	err = l.svcCtx.Registry.Read(l.ctx, audit.Event{Action: "read", Kind: auth.Subjects, Role: scope.Role, Project: t.Project,
		Site: t.Site, Patient: t.Patient, Record: t.Patient, Version: t.Version, Count: 1})
	if err != nil {
		return nil, err
	}
	return &subjectpb.GetSubjectResponse{Subject: subjectOut(t)}, nil
}
