package audit

import (
	"context"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"clinsource/internal/auditlog"
	"clinsource/internal/auth"
	"clinsource/internal/callinfo"
	"clinsource/internal/clock"
	"clinsource/internal/sqldb"
)

const (
	refused       = "refused"
	refusedWithin = 2 * time.Second
	flushEvery    = time.Minute
)

// Refused records what a known caller was refused, before they are told. Who could
// not be told who they are is counted by source, and recorded each minute. What
// cannot be recorded is counted in a metric: the caller is refused all the same.
func (l *Log) Refused(ctx context.Context, r auditlog.Refusal) {
	if auth.UserFrom(ctx).Subject == "" {
		l.refusals.Add(r)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusedWithin)
	defer cancel()
	if err := l.recordRefusals(ctx, []auditlog.Refusal{r}); err != nil {
		refusalsLost.WithLabelValues(l.service).Inc()
		logx.Errorw("a refusal could not be recorded", logx.Field("db", l.service), logx.Field("cause", err.Error()))
	}
}

// Record records refusals that another process counted.
func (l *Log) Record(ctx context.Context, all []auditlog.Refusal) error {
	return l.recordRefusals(ctx, all)
}

func (l *Log) recordRefusals(ctx context.Context, all []auditlog.Refusal) error {
	return l.db.Write(ctx, func(tx *sqldb.Tx) error {
		for _, r := range all {
			of := ctx
			if r.Actor != "" {
				of = auth.WithUser(ctx, &auth.User{Subject: r.Actor})
			}
			if r.Method != "" {
				of = callinfo.WithMethod(of, r.Method)
			}
			e := Event{Action: refused, Source: r.Source, Project: r.Project, Patient: r.Patient, Outcome: r.Reason, Count: int(r.Count)}
			if err := Insert(of, tx, clock.Now(), e); err != nil {
				return err
			}
		}
		return nil
	})
}

// flush records what was counted; what cannot be recorded now is kept for later.
func (l *Log) flush(ctx context.Context) error {
	all := l.refusals.Take()
	if len(all) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, refusedWithin)
	defer cancel()
	err := l.recordRefusals(ctx, all)
	if err != nil {
		for _, r := range all {
			l.refusals.Add(r)
		}
	}
	return err
}

// flushEnd is flush where there is no later.
func (l *Log) flushEnd(ctx context.Context) error {
	err := l.flush(ctx)
	if err != nil {
		for _, r := range l.refusals.Take() {
			refusalsLost.WithLabelValues(l.service).Add(float64(r.Count))
		}
	}
	return err
}
