package handler

import (
	"context"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/proc"
	"google.golang.org/grpc/codes"

	"clinsource/internal/auditlog"
	"clinsource/internal/auditservice"
	"clinsource/internal/fault"
	"clinsource/internal/limits"
	auditpb "clinsource/proto/audit"
)

const (
	reportEvery  = time.Minute
	reportWithin = 2 * time.Second
)

// refusals are what the gateway itself refused: no service has seen it, so it is
// counted by source and minute and given to the audit log.
type refusals struct {
	counted auditlog.Refusals
	intake  auditservice.AuditIntake
}

// add counts a refusal of access.
func (f *refusals) add(c *call, err error) {
	refusal := fault.From(err)
	if f.intake == nil || refusal.Code != codes.Unauthenticated && refusal.Code != codes.PermissionDenied && refusal.Reason != fault.ReasonLockedOut {
		return
	}
	one := auditlog.Refusal{Source: limits.Source(c.r.RemoteAddr), Method: c.state.route, Reason: refusal.Reason}
	if c.user != nil { // Then the path has been checked.
		one.Actor, one.Project, one.Patient = c.user.Subject, c.vars["project_id"], c.vars["patient_id"]
	}
	f.counted.Add(one)
}

// keepReporting gives the log what was counted, each minute and when the gateway
// stops.
func (f *refusals) keepReporting(always context.Context) {
	end := make(chan struct{})
	proc.AddShutdownListener(func() {
		close(end)
		f.report(always, true)
	})
	go func() {
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				f.report(always, false)
			}
		}
	}()
}

func (f *refusals) report(ctx context.Context, last bool) {
	all := f.counted.Take()
	if len(all) == 0 {
		return
	}
	in := &auditpb.RecordRefusalsRequest{}
	for _, r := range all {
		in.Refusals = append(in.Refusals, &auditpb.Refusal{Source: r.Source, Actor: r.Actor, Method: r.Method, Reason: r.Reason,
			ProjectId: r.Project, PatientId: r.Patient, Count: r.Count})
	}
	ctx, cancel := context.WithTimeout(ctx, reportWithin)
	defer cancel()
	_, err := f.intake.RecordRefusals(ctx, in)
	if err == nil {
		return
	}
	logx.Errorw("the audit log did not take the refusals", logx.Field("cause", err.Error()), logx.Field("last", last))
	if last {
		for _, r := range all {
			refusalsLost.Add(float64(r.Count))
		}
		return
	}
	for _, r := range all { // Kept for the next minute; one that was taken and not answered counts twice.
		f.counted.Add(r)
	}
}
