package logic_test

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/epro-rpc/internal/logic"
	"clinsource/epro-rpc/internal/svc"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/sqldb/sqldbtest"
	"clinsource/internal/subjects"
	epropb "clinsource/proto/epro"
)

// resolver is a registry that a function answers for.
type resolver func(patient string) (subjects.Place, error)

func (r resolver) Resolve(_ context.Context, patient string) (subjects.Place, error) {
	return r(patient)
}

// Who there is in these tests: two projects, the first with two sites and a
// subject who withdrew an hour ago.
var (
	withdrawn = time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	places    = map[string]subjects.Place{
		"p1":    {Project: "trial", Site: "s1"},
		"p2":    {Project: "trial", Site: "s2"},
		"gone":  {Project: "trial", Site: "s1", Withdrawn: withdrawn},
		"stale": {Project: "trial", Site: "s1", Stale: true},
		"other": {Project: "elsewhere", Site: "s9"},
	}
)

func registry(patient string) (subjects.Place, error) {
	place, ok := places[patient]
	if !ok {
		return place, subjects.Unseen()
	}
	return place, nil
}

// each runs f on an empty store of every engine.
func each(t *testing.T, f func(t *testing.T, s *svc.ServiceContext)) {
	sqldbtest.Each(t, func(t *testing.T, open func(fs.FS) *sqldb.DB) {
		f(t, svc.New(open(records.WithSchema()), resolver(registry)))
	})
}

var investigator = auth.Grant{Role: auth.Investigator, Project: "trial"}

// as is the context of a call by a user with these grants.
func as(t *testing.T, grants ...auth.Grant) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return auth.WithUser(ctx, &auth.User{Subject: "u1", Grants: grants})
}

// request is a report that the rules take.
func request(change ...func(*epropb.SubmitReportRequest)) *epropb.SubmitReportRequest {
	in := &epropb.SubmitReportRequest{
		PatientId: "p1", ClientRecordId: "c1", QuestionnaireId: "phq-9", QuestionnaireVersion: "1.0",
		AuthoredTime: timestamppb.New(time.Now().Add(-2 * time.Hour).Truncate(time.Second)),
		Answers:      []*epropb.Answer{{LinkId: "q1", Value: &epropb.Answer_IntegerValue{IntegerValue: 2}}},
	}
	for _, f := range change {
		f(in)
	}
	return in
}

// submit stores a report as the investigator.
func submit(t *testing.T, s *svc.ServiceContext, in *epropb.SubmitReportRequest) *epropb.SubmitReportResponse {
	t.Helper()
	resp, err := logic.NewSubmitReportLogic(as(t, investigator), s).SubmitReport(in)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// wantFault holds an error against a code and a reason.
func wantFault(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s %s", code, reason)
	}
	if f := fault.From(err); f.Code != code || f.Reason != reason {
		t.Errorf("got %v, want %s %s", f, code, reason)
	}
}

// fields writes the violations of an error as "field rule", sorted.
func fields(err error) string {
	var out []string
	for _, v := range fault.From(err).Violations {
		out = append(out, v.Field+" "+v.Rule)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// audited gives the audit rows as "action project/site/patient records role actor".
func audited(t *testing.T, s *svc.ServiceContext) []string {
	t.Helper()
	rows, err := s.Store.DB().Query(as(t), `SELECT action, kind, project_id, site_id, patient_id, records, role, actor FROM audit_events ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var action, kind, project, site, patient, role, actor string
		var n int64
		if err := rows.Scan(&action, &kind, &project, &site, &patient, &n, &role, &actor); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %s %s/%s/%s %d %s %s", action, kind, project, site, patient, n, role, actor))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
