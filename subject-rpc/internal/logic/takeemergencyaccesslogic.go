package logic

import (
	"cmp"
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeromicro/go-zero/core/logx"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	"clinsource/internal/records"
	"clinsource/internal/subjects"
	accesspb "clinsource/proto/access"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/internal/svc"
)

// Bounds of emergency access, in minutes.
const (
	emergencyUsual = 60
	emergencyMost  = 240
)

var emergencies = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "clinsource_emergency_access_total", Help: "Times that somebody has taken emergency access to a project; each is an alert.",
})

func init() { prometheus.MustRegister(emergencies) }

// TakeEmergencyAccessLogic does one TakeEmergencyAccess call.
type TakeEmergencyAccessLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewTakeEmergencyAccessLogic makes the logic of one call.
func NewTakeEmergencyAccessLogic(ctx context.Context, svcCtx *svc.ServiceContext) *TakeEmergencyAccessLogic {
	return &TakeEmergencyAccessLogic{ctx: ctx, svcCtx: svcCtx}
}

// TakeEmergencyAccess lets the caller read the whole project for a time.
func (l *TakeEmergencyAccessLogic) TakeEmergencyAccess(in *accesspb.TakeEmergencyAccessRequest) (*accesspb.TakeEmergencyAccessResponse, error) {
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	records.CheckReason(&check, in.GetReason())
	if in.GetMinutes() < 0 || in.GetMinutes() > emergencyMost {
		check = append(check, fault.Violation{Field: "minutes", Rule: "emergency.minutes", Message: "must be 1 to 240, or 0 for 60"})
	}
	if err := check.Err(); err != nil {
		return nil, err
	}
	scope, err := subjects.InProject(l.ctx, auth.Write, auth.Emergencies, in.GetProjectId())
	if err != nil {
		return nil, err
	}
	lasts := time.Duration(cmp.Or(in.GetMinutes(), emergencyUsual)) * time.Minute
	stored, out, err := l.svcCtx.Registry.TakeEmergency(l.ctx, in.GetProjectId(), in.GetReason(), lasts, scope.Role)
	if err != nil {
		return nil, err
	}
	if err := refused(out, "project_id"); err != nil {
		return nil, err
	}
	if out == store.Created {
		emergencies.Inc()
		logx.Errorw("emergency access was taken", logx.Field("grant_id", stored.ID), logx.Field("minutes", lasts.Minutes()))
	}
	tellAccess(l.ctx, l.svcCtx)
	return &accesspb.TakeEmergencyAccessResponse{Grant: grantOut(stored), Created: out == store.Created}, nil
}
