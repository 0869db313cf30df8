package logic_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/epro-rpc/internal/logic"
	"clinsource/epro-rpc/internal/svc"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/wirejson"
	epropb "clinsource/proto/epro"
	recordpb "clinsource/proto/record"
)

func TestSubmitOnce(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		in := request()
		first := submit(t, s, proto.CloneOf(in))
		if !first.GetCreated() || first.GetRecordId() == "" || first.GetVersion() != 1 {
			t.Fatalf("first answer: %v", first)
		}
		named := proto.CloneOf(in)
		named.ProjectId = "trial" // Naming the project is no other content.
		again := submit(t, s, named)
		if again.GetCreated() || again.GetRecordId() != first.GetRecordId() {
			t.Errorf("a resend: %v, want the record %s", again, first.GetRecordId())
		}
		in.Answers[0].Value = &epropb.Answer_IntegerValue{IntegerValue: 3}
		_, err := logic.NewSubmitReportLogic(as(t, investigator), s).SubmitReport(in)
		wantFault(t, err, codes.AlreadyExists, fault.ReasonIDTaken)
		want := []string{"create reports trial/s1/p1 0 investigator u1"}
		if got := audited(t, s); !slices.Equal(got, want) {
			t.Errorf("audit rows %q, want %q", got, want)
		}
	})
}

func TestSubmitWithoutClientRecordID(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		in := request(func(in *epropb.SubmitReportRequest) { in.ClientRecordId = "" })
		first, again := submit(t, s, proto.CloneOf(in)), submit(t, s, proto.CloneOf(in))
		if again.GetCreated() || again.GetRecordId() != first.GetRecordId() {
			t.Errorf("the same content became another record")
		}
		in.QuestionnaireVersion = "1.1"
		if other := submit(t, s, in); !other.GetCreated() {
			t.Errorf("other content became no record of its own")
		}
	})
}

// What is set to zero or false is an answer; what came as text stays that text.
func TestAnswersComeBackAsEntered(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		body := `{"patient_id":"p1","questionnaire_id":"q","questionnaire_version":"1","source_time_text":"2026-03-01T08:30:00+08:00","answers":[` +
			`{"link_id":"a","boolean_value":false},{"link_id":"b","integer_value":0},{"link_id":"c","decimal_value":0.0},` +
			`{"link_id":"d","decimal_value":37.20},{"link_id":"e","integer_value_entered":"2.00"},{"link_id":"f","decimal_value_entered":"0.12345678901234567890"},` +
			`{"link_id":"g","text_value":""},{"link_id":"h","text_value":"疼 \"x\"\n"},{"link_id":"i","date_value":"2026-02-28"},` +
			`{"link_id":"j","coding_value":{"system":"http://loinc.org","code":"LA6568-5","display":"Not at all"}},` +
			`{"link_id":"k","decimal_value":1.5,"decimal_value_rounded":true}]}`
		in := &epropb.SubmitReportRequest{}
		if bad := wirejson.Decode([]byte(body), in); bad != nil {
			t.Fatal(bad)
		}
		submit(t, s, in)
		resp, err := logic.NewGetPatientReportsLogic(as(t, investigator), s).GetPatientReports(&epropb.GetPatientReportsRequest{PatientId: "p1"})
		if err != nil {
			t.Fatal(err)
		}
		got := string(wirejson.Encode(resp.GetReports()[0]))
		for _, want := range []string{
			`"source_time_text":"2026-03-01T08:30:00+08:00"`, `"authored_time":"2026-03-01T00:30:00Z"`,
			`{"link_id":"a","boolean_value":false}`, `{"link_id":"b","integer_value":0,"integer_value_entered":"0"}`,
			`{"link_id":"c","decimal_value":0,"decimal_value_entered":"0.0"}`, `{"link_id":"d","decimal_value":37.2,"decimal_value_entered":"37.20"}`,
			`{"link_id":"e","integer_value":2,"integer_value_entered":"2.00"}`,
			`"decimal_value_entered":"0.12345678901234567890","decimal_value_rounded":true}`,
			`{"link_id":"g","text_value":""}`, `{"link_id":"h","text_value":"疼 \"x\"\n"}`, `{"link_id":"i","date_value":"2026-02-28"}`,
			`"coding_value":{"system":"http://loinc.org","code":"LA6568-5","display":"Not at all"}}`,
			`{"link_id":"k","decimal_value":1.5,"decimal_value_entered":"1.5"}`, // The caller's mark was not true.
			`"rule_id":"report.late"`, `"site_id":"s1"`, `"project_id":"trial"`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("the report does not hold %s:\n%s", want, got)
			}
		}
	})
}

func TestSubmitNamesEveryOffendingField(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		for name, c := range map[string]struct{ body, want string }{
			"nothing": {`{}`, "answers report.empty\nauthored_time time.missing\npatient_id identifier.required\n" +
				"questionnaire_id identifier.required\nquestionnaire_version identifier.required"},
			"identifiers": {`{"patient_id":"a b","project_id":"/","client_record_id":"..","questionnaire_id":"a|1","questionnaire_version":"é",` +
				`"authored_time":"2026-03-01T08:30:00Z","answers":[{"link_id":"a","boolean_value":true}]}`,
				"client_record_id identifier.malformed\npatient_id identifier.malformed\nproject_id identifier.malformed\n" +
					"questionnaire_id identifier.malformed\nquestionnaire_version identifier.malformed"},
			"time text": {`{"patient_id":"p1","questionnaire_id":"q","questionnaire_version":"1","source_time_text":"yesterday",` +
				`"answers":[{"link_id":"a","boolean_value":true}]}`, "source_time_text time.malformed"},
			"answers": {`{"patient_id":"p1","questionnaire_id":"q","questionnaire_version":"1","authored_time":"2026-03-01T08:30:00Z","answers":[` +
				`{"link_id":"a"},{"integer_value":2.5},{"link_id":"c","integer_value_entered":"x"},{"link_id":"d","coding_value":{"code":"x"}},` +
				`{"link_id":"e","integer_value":1,"decimal_value_entered":"2"},{"link_id":"f","integer_value_entered":"1","decimal_value_entered":"1"},` +
				`{"link_id":"g","integer_value_entered":"1e30"},{"link_id":"h","date_value":"2026-02-30"},{"link_id":"a","boolean_value":true},` +
				`{"link_id":"i","integer_value":1,"integer_value_entered":"x"}]}`,
				"answers[0] answer.value_missing\nanswers[1].integer_value value.not_whole\nanswers[1].link_id value.missing\n" +
					"answers[2].integer_value_entered value.malformed\nanswers[3].coding_value.system value.missing\n" +
					"answers[4].decimal_value value.disagrees\nanswers[5].decimal_value value.disagrees\n" +
					"answers[6].integer_value value.out_of_type\nanswers[7].date_value date.malformed\nanswers[8].link_id link_id.scattered\n" +
					"answers[9].integer_value_entered value.malformed"},
		} {
			in := &epropb.SubmitReportRequest{}
			if bad := wirejson.Decode([]byte(c.body), in); bad != nil {
				t.Fatal(name, bad)
			}
			_, err := logic.NewSubmitReportLogic(as(t, investigator), s).SubmitReport(in)
			wantFault(t, err, codes.InvalidArgument, fault.ReasonFieldInvalid)
			if got := fields(err); got != c.want {
				t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
			}
		}
		if got := audited(t, s); got != nil {
			t.Errorf("something was written: %q", got)
		}
	})
}

func TestWithdrawal(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		for _, c := range []struct {
			at   time.Time
			code codes.Code
		}{
			{withdrawn.Add(-time.Microsecond), codes.OK}, {withdrawn, codes.FailedPrecondition}, {withdrawn.Add(time.Minute), codes.FailedPrecondition},
		} {
			_, err := logic.NewSubmitReportLogic(as(t, investigator), s).SubmitReport(request(func(in *epropb.SubmitReportRequest) {
				in.PatientId, in.ClientRecordId, in.AuthoredTime = "gone", "", timestamppb.New(c.at)
			}))
			if c.code == codes.OK && err != nil {
				t.Errorf("authored before the withdrawal: %v", err)
			}
			if c.code != codes.OK {
				wantFault(t, err, c.code, fault.ReasonWithdrawn)
			}
		}
	})
}

func TestWhoMaySubmit(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		for name, c := range map[string]struct {
			grants           []auth.Grant
			patient, project string
			code             codes.Code
			reason           string
		}{
			"unknown patient":            {[]auth.Grant{investigator}, "nobody", "", codes.NotFound, fault.ReasonSubjectNotFound},
			"other project's patient":    {[]auth.Grant{investigator}, "other", "", codes.NotFound, fault.ReasonSubjectNotFound},
			"patient not of the project": {[]auth.Grant{investigator}, "other", "trial", codes.NotFound, fault.ReasonSubjectNotFound},
			"project without grant":      {[]auth.Grant{investigator}, "p1", "elsewhere", codes.PermissionDenied, fault.ReasonNoGrant},
			"no token":                   {nil, "p1", "", codes.NotFound, fault.ReasonSubjectNotFound},
			"monitor":                    {[]auth.Grant{{Role: auth.Monitor, Project: "trial"}}, "p1", "", codes.PermissionDenied, fault.ReasonRoleForbids},
			"device":                     {[]auth.Grant{{Role: auth.Device, Project: "trial"}}, "p1", "trial", codes.PermissionDenied, fault.ReasonRoleForbids},
			"coordinator elsewhere":      {[]auth.Grant{{Role: auth.Coordinator, Project: "trial", Sites: []string{"s2"}}}, "p1", "", codes.NotFound, fault.ReasonSubjectNotFound},
			"another patient":            {[]auth.Grant{{Role: auth.Patient, Project: "trial", Patient: "p2"}}, "p1", "", codes.NotFound, fault.ReasonSubjectNotFound},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := logic.NewSubmitReportLogic(as(t, c.grants...), s).SubmitReport(request(func(in *epropb.SubmitReportRequest) {
					in.PatientId, in.ProjectId = c.patient, c.project
				}))
				wantFault(t, err, c.code, c.reason)
			})
		}
		for name, grant := range map[string]auth.Grant{
			"own":         {Role: auth.Patient, Project: "trial", Patient: "p1"},
			"coordinator": {Role: auth.Coordinator, Project: "trial", Sites: []string{"s1"}},
		} {
			_, err := logic.NewSubmitReportLogic(as(t, grant), s).SubmitReport(request(func(in *epropb.SubmitReportRequest) { in.ClientRecordId = name }))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Shows R34.
func TestFindingsAreStored(t *testing.T) {
	each(t, func(t *testing.T, s *svc.ServiceContext) {
		in := request(func(in *epropb.SubmitReportRequest) {
			in.PatientId, in.AuthoredTime = "stale", timestamppb.New(time.Now().Add(time.Minute))
			in.Answers = append(in.Answers, proto.CloneOf(in.Answers[0]))
		})
		rules := func(fs []*recordpb.Finding) (out []string) {
			for _, f := range fs {
				out = append(out, f.GetSeverity().String()+" "+f.GetRuleId()+" "+strings.Join(f.GetFields(), ","))
			}
			return out
		}
		want := []string{"NOTE time.skew authored_time", "QUERY answer.duplicate answers[1]"}
		if got := rules(submit(t, s, proto.CloneOf(in)).GetFindings()); !slices.Equal(got, want) {
			t.Errorf("first: %q, want %q", got, want)
		}
		if got := rules(submit(t, s, in).GetFindings()); !slices.Equal(got, want) {
			t.Errorf("resend: %q, want %q", got, want)
		}
		resp, err := logic.NewListReportsLogic(as(t, investigator), s).ListReports(&epropb.ListReportsRequest{ProjectId: "trial"})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, "NOTE subject.unverified patient_id")
		if got := rules(resp.GetReports()[0].GetFindings()); !slices.Equal(got, want) {
			t.Errorf("listed: %q, want %q", got, want)
		}
	})
}
