// Package server hands each RPC to its logic, in the shape that goctl gives a
// zRPC service: one logic per call, one method per RPC, no rule of its own.
package server

import (
	"context"

	"clinsource/dicom-rpc/internal/logic"
	"clinsource/dicom-rpc/internal/svc"
	dicompb "clinsource/proto/dicom"
)

// DicomServiceServer implements dicompb.DicomServiceServer.
type DicomServiceServer struct {
	svcCtx *svc.ServiceContext
	dicompb.UnimplementedDicomServiceServer
}

var _ dicompb.DicomServiceServer = (*DicomServiceServer)(nil)

// NewDicomServiceServer makes the server of dicom.DicomService.
func NewDicomServiceServer(svcCtx *svc.ServiceContext) *DicomServiceServer {
	return &DicomServiceServer{svcCtx: svcCtx}
}

// UploadDicom implements the RPC of this name.
func (s *DicomServiceServer) UploadDicom(stream dicompb.DicomService_UploadDicomServer) error {
	return logic.NewUploadDicomLogic(stream.Context(), s.svcCtx).UploadDicom(stream)
}

// CreateUpload implements the RPC of this name.
func (s *DicomServiceServer) CreateUpload(ctx context.Context, in *dicompb.CreateUploadRequest) (*dicompb.Upload, error) {
	return logic.NewCreateUploadLogic(ctx, s.svcCtx).CreateUpload(in)
}

// GetUpload implements the RPC of this name.
func (s *DicomServiceServer) GetUpload(ctx context.Context, in *dicompb.GetUploadRequest) (*dicompb.Upload, error) {
	return logic.NewGetUploadLogic(ctx, s.svcCtx).GetUpload(in)
}

// AbortUpload implements the RPC of this name.
func (s *DicomServiceServer) AbortUpload(ctx context.Context, in *dicompb.AbortUploadRequest) (*dicompb.Upload, error) {
	return logic.NewAbortUploadLogic(ctx, s.svcCtx).AbortUpload(in)
}

// ListImages implements the RPC of this name.
func (s *DicomServiceServer) ListImages(ctx context.Context, in *dicompb.ListImagesRequest) (*dicompb.ListImagesResponse, error) {
	return logic.NewListImagesLogic(ctx, s.svcCtx).ListImages(in)
}

// DownloadDicom implements the RPC of this name.
func (s *DicomServiceServer) DownloadDicom(in *dicompb.DownloadDicomRequest, stream dicompb.DicomService_DownloadDicomServer) error {
	return logic.NewDownloadDicomLogic(stream.Context(), s.svcCtx).DownloadDicom(in, stream)
}

// GetImagesSummary implements the RPC of this name.
func (s *DicomServiceServer) GetImagesSummary(ctx context.Context, in *dicompb.GetImagesSummaryRequest) (*dicompb.GetImagesSummaryResponse, error) {
	return logic.NewGetImagesSummaryLogic(ctx, s.svcCtx).GetImagesSummary(in)
}
