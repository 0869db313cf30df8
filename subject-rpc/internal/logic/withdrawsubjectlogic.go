package logic

import (
	"context"
	"time"

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

// WithdrawSubjectLogic does one WithdrawSubject call.
type WithdrawSubjectLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewWithdrawSubjectLogic makes the logic of one call.
func NewWithdrawSubjectLogic(ctx context.Context, svcCtx *svc.ServiceContext) *WithdrawSubjectLogic {
	return &WithdrawSubjectLogic{ctx: ctx, svcCtx: svcCtx}
}

// WithdrawSubject withdraws a subject that the caller may see, as of a time.
func (l *WithdrawSubjectLogic) WithdrawSubject(in *subjectpb.WithdrawSubjectRequest) (*subjectpb.WithdrawSubjectResponse, error) {
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	check.Required("patient_id", in.GetPatientId())
	check.Text("reason", in.GetReason(), maxReason)
	check = append(check, sourcevalue.Complete(in)...)
	check = append(check, judgeTime("withdrawal_time", in.GetWithdrawalTime(), check)...)
	if err := check.Err(); err != nil {
		return nil, err
	}
	scope, err := subjects.InProject(l.ctx, auth.Write, auth.Subjects, in.GetProjectId())
	if err != nil {
		return nil, err
	}
	t, out, err := l.svcCtx.Registry.Withdraw(l.ctx, scope, in.GetPatientId(), in.GetWithdrawalTime().AsTime(), in.GetSourceTimeText(), in.GetReason())
	if err != nil {
		return nil, err
	}
	if out == store.Taken {
		return nil, fault.Exists(fault.ReasonIDTaken, "the subject has withdrawn as of another time")
	}
	if err := refused(out, "patient_id"); err != nil {
		return nil, err
	}
	if err := l.svcCtx.Signal(l.ctx, subjects.Changed); err != nil {
		logx.Errorf("tell of a withdrawal, it takes effect in the other services when their answers age (2 s): %v", err)
	}
	return &subjectpb.WithdrawSubjectResponse{Subject: subjectOut(t), Created: out == store.Created}, nil
}

// judgeTime gives what is wrong with the time of a withdrawal or a consent, unless
// known says so already. It refuses what the records' own rules refuse: a withdrawal
// by an unset clock would be for ever, and refuse all of the subject's data.
func judgeTime(field string, at *timestamppb.Timestamp, known []fault.Violation) []fault.Violation {
	const oldestYear = 1900
	for _, v := range known {
		if v.Field == field || v.Field == "source_time_text" {
			return nil
		}
	}
	switch t := at.AsTime(); {
	case at == nil:
		return []fault.Violation{{Field: field, Rule: "time.missing", Message: "is required"}}
	case t.Equal(time.Unix(0, 0)) || t.Year() < oldestYear:
		return []fault.Violation{{Field: field, Rule: "time.zero", Message: "is the zero of a clock that was never set (1970-01-01T00:00:00Z, or before 1900); send the true time"}}
	case t.After(time.Now().Add(maxAhead)):
		return []fault.Violation{{Field: field, Rule: "time.future", Message: "must not be more than 5 min in the future; check the device's clock"}}
	}
	return nil
}
