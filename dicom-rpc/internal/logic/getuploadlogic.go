package logic

import (
	"context"

	"clinsource/dicom-rpc/internal/svc"
	"clinsource/internal/ident"
	dicompb "clinsource/proto/dicom"
)

// GetUploadLogic does one GetUpload call.
type GetUploadLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetUploadLogic makes the logic of one call.
func NewGetUploadLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetUploadLogic {
	return &GetUploadLogic{ctx: ctx, svcCtx: svcCtx}
}

// GetUpload tells how far an upload of the caller has come.
func (l *GetUploadLogic) GetUpload(in *dicompb.GetUploadRequest) (*dicompb.Upload, error) {
	var check ident.Checker
	check.Required("upload_id", in.GetUploadId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	l.svcCtx.Uploads.Ending(l.ctx, in.GetUploadId())
	row, err := findUpload(l.ctx, l.svcCtx, in.GetUploadId(), nil)
	if err != nil {
		return nil, err
	}
	return uploadOut(row)
}
