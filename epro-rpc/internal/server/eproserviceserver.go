// Package server hands each RPC to its logic, in the shape that goctl gives a
// zRPC service: one logic per call, one method per RPC, no rule of its own.
package server

import (
	"context"

	"clinsource/epro-rpc/internal/logic"
	"clinsource/epro-rpc/internal/svc"
	epropb "clinsource/proto/epro"
	recordpb "clinsource/proto/record"
)

// EproServiceServer implements epropb.EproServiceServer.
type EproServiceServer struct {
	svcCtx *svc.ServiceContext
	epropb.UnimplementedEproServiceServer
}

var _ epropb.EproServiceServer = (*EproServiceServer)(nil)

// NewEproServiceServer makes the server of epro.EproService.
func NewEproServiceServer(svcCtx *svc.ServiceContext) *EproServiceServer {
	return &EproServiceServer{svcCtx: svcCtx}
}

// SubmitReport implements the RPC of this name.
func (s *EproServiceServer) SubmitReport(ctx context.Context, in *epropb.SubmitReportRequest) (*epropb.SubmitReportResponse, error) {
	return logic.NewSubmitReportLogic(ctx, s.svcCtx).SubmitReport(in)
}

// GetPatientReports implements the RPC of this name.
func (s *EproServiceServer) GetPatientReports(ctx context.Context, in *epropb.GetPatientReportsRequest) (*epropb.GetPatientReportsResponse, error) {
	return logic.NewGetPatientReportsLogic(ctx, s.svcCtx).GetPatientReports(in)
}

// ListReports implements the RPC of this name.
func (s *EproServiceServer) ListReports(ctx context.Context, in *epropb.ListReportsRequest) (*epropb.ListReportsResponse, error) {
	return logic.NewListReportsLogic(ctx, s.svcCtx).ListReports(in)
}

// GetReportsSummary implements the RPC of this name.
func (s *EproServiceServer) GetReportsSummary(ctx context.Context, in *epropb.GetReportsSummaryRequest) (*epropb.GetReportsSummaryResponse, error) {
	return logic.NewGetReportsSummaryLogic(ctx, s.svcCtx).GetReportsSummary(in)
}

// AmendReport implements the RPC of this name.
func (s *EproServiceServer) AmendReport(ctx context.Context, in *epropb.AmendReportRequest) (*epropb.AmendReportResponse, error) {
	return logic.NewAmendReportLogic(ctx, s.svcCtx).AmendReport(in)
}

// VoidReport implements the RPC of this name.
func (s *EproServiceServer) VoidReport(ctx context.Context, in *recordpb.VoidRecordRequest) (*epropb.VoidReportResponse, error) {
	return logic.NewVoidReportLogic(ctx, s.svcCtx).VoidReport(in)
}

// ListReportVersions implements the RPC of this name.
func (s *EproServiceServer) ListReportVersions(ctx context.Context, in *recordpb.ListRecordVersionsRequest) (*epropb.ListReportVersionsResponse, error) {
	return logic.NewListReportVersionsLogic(ctx, s.svcCtx).ListReportVersions(in)
}
