package logic

import (
	"context"

	accesspb "clinsource/proto/access"
	"clinsource/subject-rpc/internal/svc"
)

// DisableAccountLogic does one DisableAccount call.
type DisableAccountLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewDisableAccountLogic makes the logic of one call.
func NewDisableAccountLogic(ctx context.Context, svcCtx *svc.ServiceContext) *DisableAccountLogic {
	return &DisableAccountLogic{ctx: ctx, svcCtx: svcCtx}
}

// DisableAccount refuses every token of an account from now on.
func (l *DisableAccountLogic) DisableAccount(in *accesspb.DisableAccountRequest) (*accesspb.DisableAccountResponse, error) {
	account, created, err := setAccount(l.ctx, l.svcCtx, in.GetSub(), in.GetReason(), true)
	if err != nil {
		return nil, err
	}
	return &accesspb.DisableAccountResponse{Account: account, Created: created}, nil
}
