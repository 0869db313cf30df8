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

// GetPatientReportsLogic does one GetPatientReports call.
type GetPatientReportsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetPatientReportsLogic makes the logic of one call.
func NewGetPatientReportsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetPatientReportsLogic {
	return &GetPatientReportsLogic{ctx: ctx, svcCtx: svcCtx}
}

// GetPatientReports lists one patient's reports, newest authored first.
func (l *GetPatientReportsLogic) GetPatientReports(in *epropb.GetPatientReportsRequest) (*epropb.GetPatientReportsResponse, error) {
	var check ident.Checker
	check.Required("patient_id", in.GetPatientId())
	check.Optional("project_id", in.GetProjectId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	p, err := page.Parse(in.GetPageSize(), in.GetPageToken(), "reports", in.GetPatientId())
	if err != nil {
		return nil, err
	}
	_, scope, err := subjects.Admit(l.ctx, l.svcCtx.Subjects, auth.Read, auth.Reports, in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, err
	}
	list, next, err := l.svcCtx.Store.List(l.ctx, scope, records.Wanted{Patient: in.GetPatientId(), Voided: in.GetIncludeVoided()}, p)
	if err != nil {
		return nil, err
	}
	reports, err := records.Each(list, message.RecordOut)
	if err != nil {
		return nil, err
	}
	return &epropb.GetPatientReportsResponse{Reports: reports, NextPageToken: next}, nil
}
