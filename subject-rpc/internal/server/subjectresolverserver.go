package server

import (
	"context"

	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/svc"
)

// SubjectResolverServer implements subjectpb.SubjectResolverServer.
type SubjectResolverServer struct {
	svcCtx *svc.ServiceContext
	subjectpb.UnimplementedSubjectResolverServer
}

var _ subjectpb.SubjectResolverServer = (*SubjectResolverServer)(nil)

// NewSubjectResolverServer makes the server of subject.SubjectResolver.
func NewSubjectResolverServer(svcCtx *svc.ServiceContext) *SubjectResolverServer {
	return &SubjectResolverServer{svcCtx: svcCtx}
}

// ResolveSubject implements the RPC of this name.
func (s *SubjectResolverServer) ResolveSubject(ctx context.Context, in *subjectpb.ResolveSubjectRequest) (*subjectpb.ResolveSubjectResponse, error) {
	return logic.NewResolveSubjectLogic(ctx, s.svcCtx).ResolveSubject(in)
}
