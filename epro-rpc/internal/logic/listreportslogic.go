package logic

import (
	"context"

	"clinsource/epro-rpc/internal/message"
	"clinsource/epro-rpc/internal/svc"
	"clinsource/internal/auth"
	"clinsource/internal/ident"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/subjects"
	epropb "clinsource/proto/epro"
)

// ListReportsLogic does one ListReports call.
type ListReportsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListReportsLogic makes the logic of one call.
func NewListReportsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListReportsLogic {
	return &ListReportsLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListReports lists a project's reports, newest authored first.
func (l *ListReportsLogic) ListReports(in *epropb.ListReportsRequest) (*epropb.ListReportsResponse, error) {
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	p, err := page.Parse(in.GetPageSize(), in.GetPageToken(), "project reports", in.GetProjectId())
	if err != nil {
		return nil, err
	}
	scope, err := subjects.InProject(l.ctx, auth.Read, auth.Reports, in.GetProjectId())
	if err != nil {
		return nil, err
	}
	list, next, err := l.svcCtx.Store.List(l.ctx, scope, records.Wanted{Voided: in.GetIncludeVoided()}, p)
	if err != nil {
		return nil, err
	}
	reports, err := records.Each(list, message.RecordOut)
	if err != nil {
		return nil, err
	}
	return &epropb.ListReportsResponse{Reports: reports, NextPageToken: next}, nil
}
