package logic

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/audit"
	"clinsource/internal/auth"
	"clinsource/internal/ident"
	"clinsource/internal/subjects"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/internal/svc"
)

// GetSubjectsSummaryLogic does one GetSubjectsSummary call.
type GetSubjectsSummaryLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewGetSubjectsSummaryLogic makes the logic of one call.
func NewGetSubjectsSummaryLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetSubjectsSummaryLogic {
	return &GetSubjectsSummaryLogic{ctx: ctx, svcCtx: svcCtx}
}

// GetSubjectsSummary gives a project and its counts, or one subject of it.
func (l *GetSubjectsSummaryLogic) GetSubjectsSummary(in *subjectpb.GetSubjectsSummaryRequest) (*subjectpb.GetSubjectsSummaryResponse, error) {
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	check.Optional("patient_id", in.GetPatientId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	scope, err := subjects.InProject(l.ctx, auth.Read, auth.Subjects, in.GetProjectId())
	if err != nil {
		return nil, err
	}
	p, found, err := l.svcCtx.Registry.Project(l.ctx, in.GetProjectId())
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, refused(store.NoProject, "project_id")
	}
	resp := &subjectpb.GetSubjectsSummaryResponse{Project: projectOut(p)}
	if in.GetPatientId() != "" {
		t, _, err := seen(l.ctx, l.svcCtx, in.GetProjectId(), in.GetPatientId())
		if err != nil {
			return nil, err
		}
		one(resp, t)
	} else if err := l.all(scope, resp); err != nil {
		return nil, err
	}
	err = l.svcCtx.Registry.Read(l.ctx, audit.Event{Action: "summarize", Kind: auth.Subjects, Role: scope.Role,
		Project: scope.Project, Patient: in.GetPatientId(), Count: int(resp.GetCount())})
	return resp, err
}

func one(resp *subjectpb.GetSubjectsSummaryResponse, t store.Subject) {
	resp.Count, resp.Sites, resp.Subject, resp.NewestTime = 1, 1, subjectOut(t), timestamppb.New(t.Received)
	if t.State == subjectpb.SubjectState_WITHDRAWN {
		resp.Withdrawn = 1
	}
}

func (l *GetSubjectsSummaryLogic) all(scope auth.Scope, resp *subjectpb.GetSubjectsSummaryResponse) error {
	c, err := l.svcCtx.Registry.Count(l.ctx, scope)
	if err != nil {
		return err
	}
	resp.Count, resp.Withdrawn, resp.Sites, resp.SubjectsPerSite = c.Subjects, c.Withdrawn, c.Sites, c.PerSite
	if !c.Newest.IsZero() {
		resp.NewestTime = timestamppb.New(c.Newest)
	}
	return nil
}
