package server

import (
	"context"

	medicationpb "clinsource/proto/medication"
	recordpb "clinsource/proto/record"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/svc"
)

// MedicationServiceServer implements medicationpb.MedicationServiceServer.
type MedicationServiceServer struct {
	svcCtx *svc.ServiceContext
	medicationpb.UnimplementedMedicationServiceServer
}

var _ medicationpb.MedicationServiceServer = (*MedicationServiceServer)(nil)

// NewMedicationServiceServer makes the server of medication.MedicationService.
func NewMedicationServiceServer(svcCtx *svc.ServiceContext) *MedicationServiceServer {
	return &MedicationServiceServer{svcCtx: svcCtx}
}

// RecordMedication implements the RPC of this name.
func (s *MedicationServiceServer) RecordMedication(ctx context.Context, in *medicationpb.RecordMedicationRequest) (*medicationpb.RecordMedicationResponse, error) {
	return logic.NewRecordMedicationLogic(ctx, s.svcCtx).RecordMedication(in)
}

// ListMedications implements the RPC of this name.
func (s *MedicationServiceServer) ListMedications(ctx context.Context, in *medicationpb.ListMedicationsRequest) (*medicationpb.ListMedicationsResponse, error) {
	return logic.NewListMedicationsLogic(ctx, s.svcCtx).ListMedications(in)
}

// GetMedicationsSummary implements the RPC of this name.
func (s *MedicationServiceServer) GetMedicationsSummary(ctx context.Context, in *medicationpb.GetMedicationsSummaryRequest) (*medicationpb.GetMedicationsSummaryResponse, error) {
	return logic.NewGetMedicationsSummaryLogic(ctx, s.svcCtx).GetMedicationsSummary(in)
}

// AmendMedication implements the RPC of this name.
func (s *MedicationServiceServer) AmendMedication(ctx context.Context, in *medicationpb.AmendMedicationRequest) (*medicationpb.AmendMedicationResponse, error) {
	return logic.NewAmendMedicationLogic(ctx, s.svcCtx).AmendMedication(in)
}

// VoidMedication implements the RPC of this name.
func (s *MedicationServiceServer) VoidMedication(ctx context.Context, in *recordpb.VoidRecordRequest) (*medicationpb.VoidMedicationResponse, error) {
	return logic.NewVoidMedicationLogic(ctx, s.svcCtx).VoidMedication(in)
}

// ListMedicationVersions implements the RPC of this name.
func (s *MedicationServiceServer) ListMedicationVersions(ctx context.Context, in *recordpb.ListRecordVersionsRequest) (*medicationpb.ListMedicationVersionsResponse, error) {
	return logic.NewListMedicationVersionsLogic(ctx, s.svcCtx).ListMedicationVersions(in)
}
