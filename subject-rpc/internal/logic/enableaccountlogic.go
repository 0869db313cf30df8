package logic

import (
	"context"

	accesspb "clinsource/proto/access"
	"clinsource/subject-rpc/internal/svc"
)

// EnableAccountLogic does one EnableAccount call.
type EnableAccountLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewEnableAccountLogic makes the logic of one call.
func NewEnableAccountLogic(ctx context.Context, svcCtx *svc.ServiceContext) *EnableAccountLogic {
	return &EnableAccountLogic{ctx: ctx, svcCtx: svcCtx}
}

// EnableAccount lets a disabled account in again.
func (l *EnableAccountLogic) EnableAccount(in *accesspb.EnableAccountRequest) (*accesspb.EnableAccountResponse, error) {
	account, created, err := setAccount(l.ctx, l.svcCtx, in.GetSub(), in.GetReason(), false)
	if err != nil {
		return nil, err
	}
	return &accesspb.EnableAccountResponse{Account: account, Created: created}, nil
}
