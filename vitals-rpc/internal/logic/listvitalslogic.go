package logic

import (
	"context"

	"clinsource/internal/auth"
	"clinsource/internal/ident"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/subjects"
	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/message"
	"clinsource/vitals-rpc/internal/svc"
)

// ListVitalsLogic does one ListVitals call.
type ListVitalsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListVitalsLogic makes the logic of one call.
func NewListVitalsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListVitalsLogic {
	return &ListVitalsLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListVitals lists one patient's records, newest measurement first.
func (l *ListVitalsLogic) ListVitals(in *vitalspb.ListVitalsRequest) (*vitalspb.ListVitalsResponse, error) {
	var check ident.Checker
	check.Required("patient_id", in.GetPatientId())
	check.Optional("project_id", in.GetProjectId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	p, err := page.Parse(in.GetPageSize(), in.GetPageToken(), "vitals", in.GetPatientId())
	if err != nil {
		return nil, err
	}
	_, scope, err := subjects.Admit(l.ctx, l.svcCtx.Subjects, auth.Read, auth.Vitals, in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, err
	}
	list, next, err := l.svcCtx.Store.List(l.ctx, scope, records.Wanted{Patient: in.GetPatientId(), Voided: in.GetIncludeVoided()}, p)
	if err != nil {
		return nil, err
	}
	out, err := records.Each(list, message.RecordOut)
	if err != nil {
		return nil, err
	}
	return &vitalspb.ListVitalsResponse{Records: out, NextPageToken: next}, nil
}
