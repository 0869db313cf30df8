package logic_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/subjects"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/svc"
)

func TestWithdrawSubject(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		ctx, before := as(t, siteOne), len(registryAudit(t, s))
		at := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
		first, err := withdraw(ctx, s, "p1", at)
		if err != nil {
			t.Fatal(err)
		}
		if p := first.GetSubject(); !first.GetCreated() || p.GetState() != subjectpb.SubjectState_WITHDRAWN || p.GetVersion() != 2 ||
			!p.GetWithdrawalTime().AsTime().Equal(at) || p.GetSourceTimeText() != at.UTC().Format(time.RFC3339Nano) || p.GetSiteId() != "s1" {
			t.Errorf("withdrawn: %v", first)
		}
		same, err := withdraw(ctx, s, "p1", at)
		if err != nil || same.GetCreated() || !proto.Equal(same.GetSubject(), first.GetSubject()) {
			t.Errorf("resend: %v, %v; want %v", same, err, first.GetSubject())
		}
		_, err = withdraw(ctx, s, "p1", at.Add(time.Microsecond))
		wantFault(t, err, codes.AlreadyExists, fault.ReasonIDTaken)
		if got, want := registryAudit(t, s)[before:], []string{"withdraw subjects trial/s1/p1 p1 v2 0 coordinator u1"}; !slices.Equal(got, want) {
			t.Errorf("audit rows %q, want %q", got, want)
		}
		if got, err := getSubject(ctx, s, "trial", "p1"); err != nil || !proto.Equal(got, first.GetSubject()) {
			t.Errorf("read back: %v, %v", got, err)
		}
		if again, err := createSubject(ctx, s, "trial", "s1", "p1"); err != nil || again.GetCreated() || again.GetSubject().GetState() != subjectpb.SubjectState_WITHDRAWN {
			t.Errorf("enrolled anew: %v, %v", again, err)
		}
	})
}

// The time may come as the source wrote it alone; its text is kept.
func TestWithdrawalTimeAsText(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		in := &subjectpb.WithdrawSubjectRequest{ProjectId: "trial", PatientId: "p1", SourceTimeText: "2026-03-01T08:30:00.50+08:00", Reason: "moved away"}
		for _, created := range []bool{true, false} {
			resp, err := logic.NewWithdrawSubjectLogic(as(t, investigator), s).WithdrawSubject(proto.CloneOf(in))
			if err != nil {
				t.Fatal(err)
			}
			p := resp.GetSubject()
			if resp.GetCreated() != created || p.GetSourceTimeText() != in.GetSourceTimeText() ||
				!p.GetWithdrawalTime().AsTime().Equal(time.Date(2026, 3, 1, 0, 30, 0, 5e8, time.UTC)) {
				t.Errorf("created %v: %v", created, resp)
			}
		}
	})
}

// A time is kept to the microsecond; a resend with its nanoseconds is the same.
func TestWithdrawalTimeOfNanoseconds(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		at := time.Now().Add(-time.Hour).Truncate(time.Microsecond).Add(999 * time.Nanosecond)
		for _, created := range []bool{true, false} {
			resp, err := withdraw(as(t, investigator), s, "p1", at)
			if err != nil || resp.GetCreated() != created || !resp.GetSubject().GetWithdrawalTime().AsTime().Equal(at.Truncate(time.Microsecond)) {
				t.Errorf("created %v: %v, %v", created, resp, err)
			}
		}
	})
}

func TestWhoMayWithdraw(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		at, before := time.Now(), len(registryAudit(t, s))
		for name, c := range map[string]struct {
			grant   auth.Grant
			patient string
			code    codes.Code
			reason  string
		}{
			"other site":      {siteOne, "p2", codes.NotFound, fault.ReasonSubjectNotFound},
			"unknown":         {investigator, "nobody", codes.NotFound, fault.ReasonSubjectNotFound},
			"other project":   {investigator, "other", codes.NotFound, fault.ReasonSubjectNotFound},
			"no grant":        {auth.Grant{Role: auth.Investigator, Project: "elsewhere"}, "p1", codes.PermissionDenied, fault.ReasonNoGrant},
			"data manager":    {auth.Grant{Role: auth.DataManager, Project: "trial"}, "p1", codes.PermissionDenied, fault.ReasonRoleForbids},
			"the patient":     {auth.Grant{Role: auth.Patient, Project: "trial", Patient: "p1"}, "p1", codes.PermissionDenied, fault.ReasonRoleForbids},
			"without a token": {auth.Grant{}, "p1", codes.PermissionDenied, fault.ReasonNoGrant},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := withdraw(as(t, c.grant), s, c.patient, at)
				wantFault(t, err, c.code, c.reason)
			})
		}
		if got := registryAudit(t, s)[before:]; len(got) != 0 {
			t.Errorf("something was written: %q", got)
		}
	})
}

// One thing that is wrong with the time is told once.
func TestWithdrawalsThatAreRefused(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		for name, c := range map[string]struct {
			in   *subjectpb.WithdrawSubjectRequest
			want string
		}{
			"nothing": {&subjectpb.WithdrawSubjectRequest{},
				"patient_id identifier.required\nproject_id identifier.required\nwithdrawal_time time.missing"},
			"future": {&subjectpb.WithdrawSubjectRequest{ProjectId: "trial", PatientId: "p1", WithdrawalTime: timestamppb.New(time.Now().Add(5*time.Minute + time.Second))},
				"withdrawal_time time.future"},
			"unset clock": {&subjectpb.WithdrawSubjectRequest{ProjectId: "trial", PatientId: "p1", WithdrawalTime: &timestamppb.Timestamp{}},
				"withdrawal_time time.zero"},
			"year 1": {&subjectpb.WithdrawSubjectRequest{ProjectId: "trial", PatientId: "p1", SourceTimeText: "0001-01-01T00:00:00Z"},
				"withdrawal_time time.zero"},
			"text": {&subjectpb.WithdrawSubjectRequest{ProjectId: "trial", PatientId: "p1", SourceTimeText: "yesterday"},
				"source_time_text time.malformed"},
			"disagree": {&subjectpb.WithdrawSubjectRequest{ProjectId: "trial", PatientId: "p1", SourceTimeText: "2026-03-01T08:30:00+08:00",
				WithdrawalTime: timestamppb.New(time.Now().Add(time.Hour))}, "withdrawal_time time.disagrees"},
			"no instant": {&subjectpb.WithdrawSubjectRequest{ProjectId: "trial", PatientId: "p1", WithdrawalTime: &timestamppb.Timestamp{Seconds: math.MaxInt64 / 2}},
				"withdrawal_time time.invalid"},
			"reason": {&subjectpb.WithdrawSubjectRequest{ProjectId: "trial", PatientId: "/", WithdrawalTime: timestamppb.Now(), Reason: strings.Repeat("x", 513)},
				"patient_id identifier.malformed\nreason text.too_long"},
		} {
			_, err := logic.NewWithdrawSubjectLogic(as(t, investigator), s).WithdrawSubject(c.in)
			wantFault(t, err, codes.InvalidArgument, fault.ReasonFieldInvalid)
			if got := fields(err); got != c.want {
				t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
			}
		}
		if _, err := withdraw(as(t, investigator), s, "p1", time.Now().Add(4*time.Minute)); err != nil {
			t.Errorf("a clock that runs ahead by 4 min: %v", err)
		}
	})
}

// The other services are told of each withdrawal, resends included: the first
// signal may be what was lost. One that cannot be sent costs nothing.
func TestWithdrawalIsSignalled(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		var told []string
		s.Signal = func(_ context.Context, topic string) error {
			told = append(told, topic)
			return errors.New("etcd is away")
		}
		at := time.Now()
		for range 2 {
			if _, err := withdraw(as(t, investigator), s, "p1", at); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := withdraw(as(t, investigator), s, "p1", at.Add(-time.Hour)); err == nil {
			t.Error("another time is taken")
		}
		if want := []string{subjects.Changed, subjects.Changed}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
