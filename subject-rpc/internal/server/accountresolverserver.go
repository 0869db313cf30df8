package server

import (
	"context"

	accesspb "clinsource/proto/access"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/svc"
)

// AccountResolverServer implements accesspb.AccountResolverServer.
type AccountResolverServer struct {
	svcCtx *svc.ServiceContext
	accesspb.UnimplementedAccountResolverServer
}

var _ accesspb.AccountResolverServer = (*AccountResolverServer)(nil)

// NewAccountResolverServer makes the server of access.AccountResolver.
func NewAccountResolverServer(svcCtx *svc.ServiceContext) *AccountResolverServer {
	return &AccountResolverServer{svcCtx: svcCtx}
}

// ResolveAccount implements the RPC of this name.
func (s *AccountResolverServer) ResolveAccount(ctx context.Context, in *accesspb.ResolveAccountRequest) (*accesspb.ResolveAccountResponse, error) {
	return logic.NewResolveAccountLogic(ctx, s.svcCtx).ResolveAccount(in)
}
