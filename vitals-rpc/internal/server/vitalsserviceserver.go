// Package server hands each RPC to its logic, in the shape that goctl gives a
// zRPC service: one logic per call, one method per RPC, no rule of its own.
package server

import (
	"context"

	vitalspb "clinsource/proto/vitals"
	"clinsource/vitals-rpc/internal/logic"
	"clinsource/vitals-rpc/internal/svc"
)

// VitalsServiceServer implements vitalspb.VitalsServiceServer.
type VitalsServiceServer struct {
	svcCtx *svc.ServiceContext
	vitalspb.UnimplementedVitalsServiceServer
}

var _ vitalspb.VitalsServiceServer = (*VitalsServiceServer)(nil)

// NewVitalsServiceServer makes the server of vitals.VitalsService.
func NewVitalsServiceServer(svcCtx *svc.ServiceContext) *VitalsServiceServer {
	return &VitalsServiceServer{svcCtx: svcCtx}
}

// UploadVitals implements the RPC of this name.
func (s *VitalsServiceServer) UploadVitals(ctx context.Context, in *vitalspb.UploadVitalsRequest) (*vitalspb.UploadVitalsResponse, error) {
	return logic.NewUploadVitalsLogic(ctx, s.svcCtx).UploadVitals(in)
}

// ListVitals implements the RPC of this name.
func (s *VitalsServiceServer) ListVitals(ctx context.Context, in *vitalspb.ListVitalsRequest) (*vitalspb.ListVitalsResponse, error) {
	return logic.NewListVitalsLogic(ctx, s.svcCtx).ListVitals(in)
}

// GetLatestVitals implements the RPC of this name.
func (s *VitalsServiceServer) GetLatestVitals(ctx context.Context, in *vitalspb.GetLatestVitalsRequest) (*vitalspb.GetLatestVitalsResponse, error) {
	return logic.NewGetLatestVitalsLogic(ctx, s.svcCtx).GetLatestVitals(in)
}

// GetVitalsSummary implements the RPC of this name.
func (s *VitalsServiceServer) GetVitalsSummary(ctx context.Context, in *vitalspb.GetVitalsSummaryRequest) (*vitalspb.GetVitalsSummaryResponse, error) {
	return logic.NewGetVitalsSummaryLogic(ctx, s.svcCtx).GetVitalsSummary(in)
}
