package logic

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/ident"
	"clinsource/internal/subjects"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/svc"
)

// ResolveSubjectLogic does one ResolveSubject call.
type ResolveSubjectLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewResolveSubjectLogic makes the logic of one call.
func NewResolveSubjectLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ResolveSubjectLogic {
	return &ResolveSubjectLogic{ctx: ctx, svcCtx: svcCtx}
}

// ResolveSubject says where a patient belongs. The list of peers is its only
// guard; what the asking service makes of the answer, that service audits.
func (l *ResolveSubjectLogic) ResolveSubject(in *subjectpb.ResolveSubjectRequest) (*subjectpb.ResolveSubjectResponse, error) {
	var check ident.Checker
	check.Required("patient_id", in.GetPatientId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	t, found, err := l.svcCtx.Registry.Subject(l.ctx, in.GetPatientId())
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, subjects.Unseen()
	}
	gaps, err := l.svcCtx.Registry.Gaps(l.ctx, in.GetPatientId())
	if err != nil {
		return nil, err
	}
	resp := &subjectpb.ResolveSubjectResponse{ProjectId: t.Project, SiteId: t.Site, State: t.State}
	if !t.Withdrawal.IsZero() {
		resp.WithdrawalTime = timestamppb.New(t.Withdrawal)
	}
	for _, g := range gaps {
		gap := &subjectpb.ConsentGap{Purpose: g.Purpose, FromTime: timestamppb.New(g.From)}
		if !g.Until.IsZero() {
			gap.UntilTime = timestamppb.New(g.Until)
		}
		resp.ConsentGaps = append(resp.ConsentGaps, gap)
	}
	return resp, nil
}
