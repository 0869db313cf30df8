package logic

import (
	"context"

	"clinsource/internal/auth"
	"clinsource/internal/ident"
	"clinsource/internal/page"
	"clinsource/internal/subjects"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/svc"
)

// ListConsentsLogic does one ListConsents call.
type ListConsentsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListConsentsLogic makes the logic of one call.
func NewListConsentsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListConsentsLogic {
	return &ListConsentsLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListConsents lists all entries of a subject's consents, newest first.
func (l *ListConsentsLogic) ListConsents(in *subjectpb.ListConsentsRequest) (*subjectpb.ListConsentsResponse, error) {
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	check.Required("patient_id", in.GetPatientId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	p, err := page.Parse(in.GetPageSize(), in.GetPageToken(), "consents", in.GetPatientId())
	if err != nil {
		return nil, err
	}
	scope, err := subjects.InProject(l.ctx, auth.Read, auth.Consents, in.GetProjectId())
	if err != nil {
		return nil, err
	}
	t, found, err := l.svcCtx.Registry.Subject(l.ctx, in.GetPatientId())
	if err != nil {
		return nil, err
	}
	if !found || t.Project != in.GetProjectId() || !scope.Covers(t.Site, in.GetPatientId()) {
		return nil, subjects.Unseen()
	}
	list, next, err := l.svcCtx.Registry.Consents(l.ctx, scope, t, p)
	if err != nil {
		return nil, err
	}
	resp := &subjectpb.ListConsentsResponse{NextPageToken: next}
	for _, c := range list {
		resp.Consents = append(resp.Consents, consentOut(c))
	}
	return resp, nil
}
