package server

import (
	"context"

	accesspb "clinsource/proto/access"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/svc"
)

// AccessServiceServer implements accesspb.AccessServiceServer.
type AccessServiceServer struct {
	svcCtx *svc.ServiceContext
	accesspb.UnimplementedAccessServiceServer
}

var _ accesspb.AccessServiceServer = (*AccessServiceServer)(nil)

// NewAccessServiceServer makes the server of access.AccessService.
func NewAccessServiceServer(svcCtx *svc.ServiceContext) *AccessServiceServer {
	return &AccessServiceServer{svcCtx: svcCtx}
}

// CreateGrant implements the RPC of this name.
func (s *AccessServiceServer) CreateGrant(ctx context.Context, in *accesspb.CreateGrantRequest) (*accesspb.CreateGrantResponse, error) {
	return logic.NewCreateGrantLogic(ctx, s.svcCtx).CreateGrant(in)
}

// ListGrants implements the RPC of this name.
func (s *AccessServiceServer) ListGrants(ctx context.Context, in *accesspb.ListGrantsRequest) (*accesspb.ListGrantsResponse, error) {
	return logic.NewListGrantsLogic(ctx, s.svcCtx).ListGrants(in)
}

// RevokeGrant implements the RPC of this name.
func (s *AccessServiceServer) RevokeGrant(ctx context.Context, in *accesspb.RevokeGrantRequest) (*accesspb.RevokeGrantResponse, error) {
	return logic.NewRevokeGrantLogic(ctx, s.svcCtx).RevokeGrant(in)
}

// TakeEmergencyAccess implements the RPC of this name.
func (s *AccessServiceServer) TakeEmergencyAccess(ctx context.Context, in *accesspb.TakeEmergencyAccessRequest) (*accesspb.TakeEmergencyAccessResponse, error) {
	return logic.NewTakeEmergencyAccessLogic(ctx, s.svcCtx).TakeEmergencyAccess(in)
}

// DisableAccount implements the RPC of this name.
func (s *AccessServiceServer) DisableAccount(ctx context.Context, in *accesspb.DisableAccountRequest) (*accesspb.DisableAccountResponse, error) {
	return logic.NewDisableAccountLogic(ctx, s.svcCtx).DisableAccount(in)
}

// EnableAccount implements the RPC of this name.
func (s *AccessServiceServer) EnableAccount(ctx context.Context, in *accesspb.EnableAccountRequest) (*accesspb.EnableAccountResponse, error) {
	return logic.NewEnableAccountLogic(ctx, s.svcCtx).EnableAccount(in)
}
