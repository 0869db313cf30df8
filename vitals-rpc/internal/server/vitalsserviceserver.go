// Package server hands each RPC to its logic, in the shape that goctl gives a
// zRPC service: one logic per call, one method per RPC, no rule of its own.
package server

import (
	"context"

	recordpb "clinsource/proto/record"
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

// AmendVitals implements the RPC of this name.
func (s *VitalsServiceServer) AmendVitals(ctx context.Context, in *vitalspb.AmendVitalsRequest) (*vitalspb.AmendVitalsResponse, error) {
	return logic.NewAmendVitalsLogic(ctx, s.svcCtx).AmendVitals(in)
}

// VoidVitals implements the RPC of this name.
func (s *VitalsServiceServer) VoidVitals(ctx context.Context, in *recordpb.VoidRecordRequest) (*vitalspb.VoidVitalsResponse, error) {
	return logic.NewVoidVitalsLogic(ctx, s.svcCtx).VoidVitals(in)
}

// ListVitalsVersions implements the RPC of this name.
func (s *VitalsServiceServer) ListVitalsVersions(ctx context.Context, in *recordpb.ListRecordVersionsRequest) (*vitalspb.ListVitalsVersionsResponse, error) {
	return logic.NewListVitalsVersionsLogic(ctx, s.svcCtx).ListVitalsVersions(in)
}
