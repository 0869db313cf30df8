package logic

import (
	"context"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	"clinsource/internal/sourcevalue"
	"clinsource/internal/subjects"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/internal/svc"
)

// maxFormVersion bounds the version of a consent form, in bytes.
const maxFormVersion = 64

// RecordConsentLogic does one RecordConsent call.
type RecordConsentLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewRecordConsentLogic makes the logic of one call.
func NewRecordConsentLogic(ctx context.Context, svcCtx *svc.ServiceContext) *RecordConsentLogic {
	return &RecordConsentLogic{ctx: ctx, svcCtx: svcCtx}
}

// RecordConsent writes an entry of a subject that the caller may see.
func (l *RecordConsentLogic) RecordConsent(in *subjectpb.RecordConsentRequest) (*subjectpb.RecordConsentResponse, error) {
	if err := checkConsent(in); err != nil {
		return nil, err
	}
	scope, err := subjects.InProject(l.ctx, auth.Write, auth.Consents, in.GetProjectId())
	if err != nil {
		return nil, err
	}
	c, out, err := l.svcCtx.Registry.RecordConsent(l.ctx, scope, store.Consent{
		Patient: in.GetPatientId(), Purpose: in.GetPurpose(), State: in.GetState(), FormVersion: in.GetFormVersion(),
		At: in.GetConsentTime().AsTime(), AtText: in.GetSourceTimeText(),
	})
	if err != nil {
		return nil, err
	}
	if out == store.Taken {
		return nil, fault.Exists(fault.ReasonIDTaken, "there is another entry of this purpose as of this time")
	}
	if err := refused(out, "patient_id"); err != nil {
		return nil, err
	}
	if err := l.svcCtx.Signal(l.ctx, subjects.Changed); err != nil {
		logx.Errorf("tell of a consent, it takes effect in the other services when their answers age (2 s): %v", err)
	}
	return &subjectpb.RecordConsentResponse{Consent: consentOut(c), Created: out == store.Created}, nil
}

func checkConsent(in *subjectpb.RecordConsentRequest) error {
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	check.Required("patient_id", in.GetPatientId())
	check.Text("form_version", in.GetFormVersion(), maxFormVersion)
	refuse := func(field, rule, message string) {
		check = append(check, fault.Violation{Field: field, Rule: rule, Message: message})
	}
	if !subjects.IsPurpose(in.GetPurpose()) {
		refuse("purpose", "consent.purpose", "must be trial, images, epro or future-research")
	}
	switch in.GetState() {
	case subjectpb.ConsentState_CONSENT_GIVEN:
		if in.GetFormVersion() == "" {
			refuse("form_version", "consent.form_version", "is required where consent is given: the version of the form that was signed")
		}
	case subjectpb.ConsentState_CONSENT_WITHDRAWN:
	default:
		refuse("state", "consent.state", "must be CONSENT_GIVEN or CONSENT_WITHDRAWN")
	}
	check = append(check, sourcevalue.Complete(in)...)
	check = append(check, judgeTime("consent_time", in.GetConsentTime(), check)...)
	return check.Err()
}

func consentOut(c store.Consent) *subjectpb.Consent {
	return &subjectpb.Consent{
		PatientId: c.Patient, ProjectId: c.Project, Purpose: c.Purpose, State: c.State, FormVersion: c.FormVersion,
		ConsentTime: timestamppb.New(c.At), SourceTimeText: c.AtText, Actor: c.Actor, ReceivedTime: timestamppb.New(c.Received), Current: c.Current,
	}
}
