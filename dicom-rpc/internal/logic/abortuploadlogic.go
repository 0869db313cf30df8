package logic

import (
	"context"

	"github.com/zeromicro/go-zero/core/logx"

	"clinsource/dicom-rpc/internal/resume"
	"clinsource/dicom-rpc/internal/store"
	"clinsource/dicom-rpc/internal/svc"
	"clinsource/internal/auth"
	"clinsource/internal/ident"
	dicompb "clinsource/proto/dicom"
)

// AbortUploadLogic does one AbortUpload call.
type AbortUploadLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewAbortUploadLogic makes the logic of one call.
func NewAbortUploadLogic(ctx context.Context, svcCtx *svc.ServiceContext) *AbortUploadLogic {
	return &AbortUploadLogic{ctx: ctx, svcCtx: svcCtx}
}

// AbortUpload gives an open upload up and removes its bytes.
func (l *AbortUploadLogic) AbortUpload(in *dicompb.AbortUploadRequest) (*dicompb.Upload, error) {
	var check ident.Checker
	check.Required("upload_id", in.GetUploadId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	row, err := findUpload(l.ctx, l.svcCtx, in.GetUploadId(), nil)
	if err != nil {
		return nil, err
	}
	if row.Ended() {
		return uploadOut(row)
	}
	if row, err = l.abort(row); err != nil {
		return nil, uploadFault(err)
	}
	return uploadOut(row)
}

func (l *AbortUploadLogic) abort(row *store.Upload) (*store.Upload, error) {
	user := auth.UserFrom(l.ctx)
	scope, _ := user.May(auth.Write, auth.Images, row.Project)
	row, err := l.svcCtx.Store.AbortUpload(l.ctx, user.Subject, row.ID, scope.Role, l.svcCtx.Uploads.Now())
	if err != nil || row.State != dicompb.UploadState_ABORTED {
		return row, err
	}
	resume.Ended.WithLabelValues(row.State.String()).Inc()
	if err := l.svcCtx.Uploads.Abandon(row.ID); err != nil { // Settle tidies up.
		logx.Errorf("remove upload %s: %v", row.ID, err)
	}
	return row, nil
}
