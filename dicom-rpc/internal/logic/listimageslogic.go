package logic

import (
	"context"

	"clinsource/dicom-rpc/internal/svc"
	"clinsource/internal/auth"
	"clinsource/internal/ident"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/subjects"
	dicompb "clinsource/proto/dicom"
)

// ListImagesLogic does one ListImages call.
type ListImagesLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewListImagesLogic makes the logic of one call.
func NewListImagesLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ListImagesLogic {
	return &ListImagesLogic{ctx: ctx, svcCtx: svcCtx}
}

// ListImages lists one patient's images, or a project's, newest received first.
func (l *ListImagesLogic) ListImages(in *dicompb.ListImagesRequest) (*dicompb.ListImagesResponse, error) {
	var check ident.Checker
	check.Optional("project_id", in.GetProjectId())
	if in.GetProjectId() == "" {
		check.Required("patient_id", in.GetPatientId())
	} else {
		check.Optional("patient_id", in.GetPatientId())
	}
	if err := check.Err(); err != nil {
		return nil, err
	}
	p, err := page.Parse(in.GetPageSize(), in.GetPageToken(), "images", in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, err
	}
	scope, err := l.scope(in)
	if err != nil {
		return nil, err
	}
	list, next, err := l.svcCtx.Store.List(l.ctx, scope, records.Wanted{Patient: in.GetPatientId()}, p)
	if err != nil {
		return nil, err
	}
	resp := &dicompb.ListImagesResponse{NextPageToken: next}
	for _, r := range list {
		image, err := imageOut(r)
		if err != nil {
			return nil, err
		}
		resp.Images = append(resp.Images, image)
	}
	return resp, nil
}

func (l *ListImagesLogic) scope(in *dicompb.ListImagesRequest) (auth.Scope, error) {
	if in.GetPatientId() == "" {
		return subjects.InProject(l.ctx, auth.Read, auth.Images, in.GetProjectId())
	}
	_, scope, err := subjects.Admit(l.ctx, l.svcCtx.Subjects, auth.Read, auth.Images, in.GetProjectId(), in.GetPatientId())
	return scope, err
}
