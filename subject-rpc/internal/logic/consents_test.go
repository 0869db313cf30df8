package logic_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/sqldb"
	"clinsource/internal/subjects"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/svc"
)

const (
	given   = subjectpb.ConsentState_CONSENT_GIVEN
	revoked = subjectpb.ConsentState_CONSENT_WITHDRAWN
)

var signed = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// entry is a consent of p1 of the trial, so many days after the first.
func entry(purpose string, state subjectpb.ConsentState, day int, change ...func(*subjectpb.RecordConsentRequest)) *subjectpb.RecordConsentRequest {
	in := &subjectpb.RecordConsentRequest{ProjectId: "trial", PatientId: "p1", Purpose: purpose, State: state, FormVersion: "3.1",
		ConsentTime: timestamppb.New(signed.AddDate(0, 0, day))}
	for _, f := range change {
		f(in)
	}
	return in
}

func consent(ctx context.Context, s *svc.ServiceContext, in *subjectpb.RecordConsentRequest) (*subjectpb.RecordConsentResponse, error) {
	return logic.NewRecordConsentLogic(ctx, s).RecordConsent(in)
}

// consents reads p1's entries, two at a time.
func consents(t *testing.T, ctx context.Context, s *svc.ServiceContext) (told []string) {
	t.Helper()
	for token := ""; ; {
		resp, err := logic.NewListConsentsLogic(ctx, s).ListConsents(&subjectpb.ListConsentsRequest{ProjectId: "trial", PatientId: "p1", PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range resp.GetConsents() {
			told = append(told, fmt.Sprintf("%s %s %s %t", c.GetConsentTime().AsTime().Format(time.DateOnly), c.GetPurpose(), c.GetState(), c.GetCurrent()))
		}
		if token = resp.GetNextPageToken(); token == "" {
			return told
		}
	}
}

// Shows R48.
func TestConsents(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		signals := 0
		s.Signal = func(context.Context, string) error { signals++; return errors.New("etcd is away") }
		ctx := as(t, siteOne)
		for _, in := range []*subjectpb.RecordConsentRequest{
			entry("trial", given, 0), entry("images", revoked, 5), entry("trial", revoked, 20), entry("trial", given, 30),
			entry("trial", revoked, 10), // Told late, and as of an earlier time.
		} {
			for _, created := range []bool{true, false} {
				resp, err := consent(ctx, s, in)
				if err != nil || resp.GetCreated() != created || resp.GetConsent().GetActor() != "u1" || resp.GetConsent().GetSourceTimeText() == "" {
					t.Errorf("created %v: %v, %v", created, resp, err)
				}
			}
		}
		if want, got := []string{"2026-03-31 trial CONSENT_GIVEN true", "2026-03-21 trial CONSENT_WITHDRAWN false", "2026-03-11 trial CONSENT_WITHDRAWN false",
			"2026-03-06 images CONSENT_WITHDRAWN true", "2026-03-01 trial CONSENT_GIVEN false"}, consents(t, ctx, s); !slices.Equal(got, want) {
			t.Errorf("the entries are %q", got)
		}
		if signals != 10 {
			t.Errorf("%d signals", signals)
		}
		resolved, err := logic.NewResolveSubjectLogic(ctx, s).ResolveSubject(&subjectpb.ResolveSubjectRequest{PatientId: "p1"})
		if err != nil || len(resolved.GetConsentGaps()) != 2 {
			t.Fatalf("resolved: %v, %v", resolved, err)
		}
		place, err := s.Subjects.Resolve(ctx, "p1")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			what    auth.Kind
			day     int
			refused bool
		}{
			{auth.Vitals, -1, false}, {auth.Vitals, 9, false}, {auth.Vitals, 10, true}, {auth.Vitals, 25, true}, {auth.Vitals, 30, false},
			{auth.Images, 4, false}, {auth.Images, 5, true}, {auth.Images, 40, true}, {auth.Reports, 9, false}, {auth.Medications, 12, true},
		} {
			if err := place.Refuse(c.what, signed.AddDate(0, 0, c.day), "f"); (err != nil) != c.refused {
				t.Errorf("%s of day %d: %v", c.what, c.day, err)
			} else if err != nil {
				wantFault(t, err, codes.FailedPrecondition, fault.ReasonConsentWithdrawn)
			}
		}
		if place, err := s.Subjects.Resolve(ctx, "p3"); err != nil || place != (subjects.Place{Project: "trial", Site: "s1"}) {
			t.Errorf("a subject without any entry is %+v, %v", place, err)
		}
	})
}

func TestConsentRefusals(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		ctx := as(t, siteOne)
		if _, err := consent(ctx, s, entry("trial", given, 0)); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			in     *subjectpb.RecordConsentRequest
			grant  auth.Grant
			code   codes.Code
			reason string
		}{
			"another form as of that time": {entry("trial", given, 0, func(in *subjectpb.RecordConsentRequest) { in.FormVersion = "4" }), siteOne, codes.AlreadyExists, fault.ReasonIDTaken},
			"the opposite as of that time": {entry("trial", revoked, 0), siteOne, codes.AlreadyExists, fault.ReasonIDTaken},
			"no such purpose":              {entry("weather", given, 1), siteOne, codes.InvalidArgument, fault.ReasonFieldInvalid},
			"no state":                     {entry("trial", 0, 1), siteOne, codes.InvalidArgument, fault.ReasonFieldInvalid},
			"no form":                      {entry("trial", given, 1, func(in *subjectpb.RecordConsentRequest) { in.FormVersion = "" }), siteOne, codes.InvalidArgument, fault.ReasonFieldInvalid},
			"a long form": {entry("trial", given, 1, func(in *subjectpb.RecordConsentRequest) { in.FormVersion = strings.Repeat("x", 65) }), siteOne,
				codes.InvalidArgument, fault.ReasonFieldInvalid},
			"no time":    {entry("trial", given, 1, func(in *subjectpb.RecordConsentRequest) { in.ConsentTime = nil }), siteOne, codes.InvalidArgument, fault.ReasonFieldInvalid},
			"the future": {entry("trial", given, 100000), siteOne, codes.InvalidArgument, fault.ReasonFieldInvalid},
			"another site": {entry("trial", given, 1, func(in *subjectpb.RecordConsentRequest) { in.PatientId = "p2" }), siteOne,
				codes.NotFound, fault.ReasonSubjectNotFound},
			"another project's subject": {entry("trial", given, 1, func(in *subjectpb.RecordConsentRequest) { in.PatientId = "other" }), siteOne,
				codes.NotFound, fault.ReasonSubjectNotFound},
			"a monitor":   {entry("trial", given, 1), auth.Grant{Role: auth.Monitor, Project: "trial"}, codes.PermissionDenied, fault.ReasonRoleForbids},
			"the patient": {entry("trial", given, 1), auth.Grant{Role: auth.Patient, Project: "trial", Patient: "p1"}, codes.PermissionDenied, fault.ReasonRoleForbids},
			"a stranger":  {entry("trial", given, 1), auth.Grant{Role: auth.Admin, Project: "elsewhere"}, codes.PermissionDenied, fault.ReasonNoGrant},
		} {
			if _, err := consent(as(t, c.grant), s, c.in); err == nil {
				t.Errorf("%s is taken", name)
			} else {
				wantFault(t, err, c.code, c.reason)
			}
		}
		if got := consents(t, as(t, auth.Grant{Role: auth.Patient, Project: "trial", Patient: "p1"}), s); len(got) != 1 {
			t.Errorf("the patient sees %q", got)
		}
		_, err := logic.NewListConsentsLogic(as(t, auth.Grant{Role: auth.Patient, Project: "trial", Patient: "p3"}), s).ListConsents(
			&subjectpb.ListConsentsRequest{ProjectId: "trial", PatientId: "p1"})
		wantFault(t, err, codes.NotFound, fault.ReasonSubjectNotFound)
	})
}

// Shows R04.
func TestConsentsAreNeverChanged(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		ctx := as(t, siteOne)
		if _, err := consent(ctx, s, entry("trial", revoked, 0)); err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{`UPDATE consents SET state = 1`, `DELETE FROM consents`} {
			err := s.Medications.DB().Write(ctx, func(tx *sqldb.Tx) error {
				_, err := tx.Exec(ctx, statement)
				return err
			})
			if err == nil {
				t.Errorf("%s is done", statement)
			}
		}
	})
}
