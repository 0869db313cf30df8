package logic

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/auth"
	"clinsource/internal/ident"
	"clinsource/internal/page"
	"clinsource/internal/subjects"
	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/store"
	"clinsource/vitals-rpc/internal/svc"
)

// GetLatestVitalsLogic does one GetLatestVitals call.
type GetLatestVitalsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetLatestVitalsLogic makes the logic of one call.
func NewGetLatestVitalsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetLatestVitalsLogic {
	return &GetLatestVitalsLogic{ctx: ctx, svcCtx: svcCtx}
}

// GetLatestVitals lists a project's newest value per subject and sign.
func (l *GetLatestVitalsLogic) GetLatestVitals(in *vitalspb.GetLatestVitalsRequest) (*vitalspb.GetLatestVitalsResponse, error) {
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	p, err := page.Parse(in.GetPageSize(), in.GetPageToken(), "latest vitals", in.GetProjectId())
	if err != nil {
		return nil, err
	}
	scope, err := subjects.InProject(l.ctx, auth.Read, auth.Vitals, in.GetProjectId())
	if err != nil {
		return nil, err
	}
	list, next, err := l.svcCtx.Store.LatestOf(l.ctx, scope, p)
	if err != nil {
		return nil, err
	}
	resp := &vitalspb.GetLatestVitalsResponse{NextPageToken: next}
	for _, v := range list {
		resp.Latest = append(resp.Latest, latestOut(v))
	}
	return resp, nil
}

func latestOut(v store.Latest) *vitalspb.LatestVital {
	out := &vitalspb.LatestVital{
		PatientId: v.Patient, SiteId: v.Site, Sign: v.Sign, MeasurementTime: timestamppb.New(v.MeasuredAt),
		RecordId: v.Record, Queried: v.Queried,
		BloodPressureCategory: vitalspb.BloodPressureCategory(vitalspb.BloodPressureCategory_value[v.Category]),
	}
	for _, c := range v.Components {
		unit := c.EnteredUnit
		if unit == "" {
			unit = c.CanonicalUnit
		}
		out.Values = append(out.Values, &vitalspb.SignValue{
			Field: c.Field, Canonical: c.Canonical, UcumUnit: c.CanonicalUnit, Entered: c.Entered, EnteredUnit: unit,
		})
	}
	return out
}
