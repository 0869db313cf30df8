// Package server hands each RPC to its logic, in the shape that goctl gives a
// zRPC service: one logic per call, one method per RPC, no rule of its own.
package server

import (
	"context"

	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/svc"
)

// SubjectServiceServer implements subjectpb.SubjectServiceServer.
type SubjectServiceServer struct {
	svcCtx *svc.ServiceContext
	subjectpb.UnimplementedSubjectServiceServer
}

var _ subjectpb.SubjectServiceServer = (*SubjectServiceServer)(nil)

// NewSubjectServiceServer makes the server of subject.SubjectService.
func NewSubjectServiceServer(svcCtx *svc.ServiceContext) *SubjectServiceServer {
	return &SubjectServiceServer{svcCtx: svcCtx}
}

// CreateProject implements the RPC of this name.
func (s *SubjectServiceServer) CreateProject(ctx context.Context, in *subjectpb.CreateProjectRequest) (*subjectpb.CreateProjectResponse, error) {
	return logic.NewCreateProjectLogic(ctx, s.svcCtx).CreateProject(in)
}

// ListProjects implements the RPC of this name.
func (s *SubjectServiceServer) ListProjects(ctx context.Context, in *subjectpb.ListProjectsRequest) (*subjectpb.ListProjectsResponse, error) {
	return logic.NewListProjectsLogic(ctx, s.svcCtx).ListProjects(in)
}

// CreateSite implements the RPC of this name.
func (s *SubjectServiceServer) CreateSite(ctx context.Context, in *subjectpb.CreateSiteRequest) (*subjectpb.CreateSiteResponse, error) {
	return logic.NewCreateSiteLogic(ctx, s.svcCtx).CreateSite(in)
}

// ListSites implements the RPC of this name.
func (s *SubjectServiceServer) ListSites(ctx context.Context, in *subjectpb.ListSitesRequest) (*subjectpb.ListSitesResponse, error) {
	return logic.NewListSitesLogic(ctx, s.svcCtx).ListSites(in)
}

// CreateSubject implements the RPC of this name.
func (s *SubjectServiceServer) CreateSubject(ctx context.Context, in *subjectpb.CreateSubjectRequest) (*subjectpb.CreateSubjectResponse, error) {
	return logic.NewCreateSubjectLogic(ctx, s.svcCtx).CreateSubject(in)
}

// GetSubject implements the RPC of this name.
func (s *SubjectServiceServer) GetSubject(ctx context.Context, in *subjectpb.GetSubjectRequest) (*subjectpb.GetSubjectResponse, error) {
	return logic.NewGetSubjectLogic(ctx, s.svcCtx).GetSubject(in)
}

// ListSubjects implements the RPC of this name.
func (s *SubjectServiceServer) ListSubjects(ctx context.Context, in *subjectpb.ListSubjectsRequest) (*subjectpb.ListSubjectsResponse, error) {
	return logic.NewListSubjectsLogic(ctx, s.svcCtx).ListSubjects(in)
}

// WithdrawSubject implements the RPC of this name.
func (s *SubjectServiceServer) WithdrawSubject(ctx context.Context, in *subjectpb.WithdrawSubjectRequest) (*subjectpb.WithdrawSubjectResponse, error) {
	return logic.NewWithdrawSubjectLogic(ctx, s.svcCtx).WithdrawSubject(in)
}

// GetSubjectsSummary implements the RPC of this name.
func (s *SubjectServiceServer) GetSubjectsSummary(ctx context.Context, in *subjectpb.GetSubjectsSummaryRequest) (*subjectpb.GetSubjectsSummaryResponse, error) {
	return logic.NewGetSubjectsSummaryLogic(ctx, s.svcCtx).GetSubjectsSummary(in)
}

// RecordConsent implements the RPC of this name.
func (s *SubjectServiceServer) RecordConsent(ctx context.Context, in *subjectpb.RecordConsentRequest) (*subjectpb.RecordConsentResponse, error) {
	return logic.NewRecordConsentLogic(ctx, s.svcCtx).RecordConsent(in)
}

// ListConsents implements the RPC of this name.
func (s *SubjectServiceServer) ListConsents(ctx context.Context, in *subjectpb.ListConsentsRequest) (*subjectpb.ListConsentsResponse, error) {
	return logic.NewListConsentsLogic(ctx, s.svcCtx).ListConsents(in)
}
