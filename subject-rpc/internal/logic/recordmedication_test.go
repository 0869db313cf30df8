package logic_test

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/sqldb/sqldbtest"
	"clinsource/internal/wirejson"
	medicationpb "clinsource/proto/medication"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/internal/svc"
)

func TestRecordMedicationOnce(t *testing.T) {
	eachMedications(t, func(t *testing.T, s *svc.ServiceContext) {
		in := medication()
		first := record(t, s, proto.CloneOf(in))
		if !first.GetCreated() || first.GetRecordId() == "" || first.GetVersion() != 1 {
			t.Fatalf("first answer: %v", first)
		}
		named := proto.CloneOf(in)
		named.ProjectId = "trial" // Naming the project is no other content.
		again := record(t, s, named)
		if again.GetCreated() || again.GetRecordId() != first.GetRecordId() {
			t.Errorf("a resend: %v, want the record %s", again, first.GetRecordId())
		}
		in.Dose.Value = 1
		_, err := logic.NewRecordMedicationLogic(as(t, investigator), s).RecordMedication(in)
		wantFault(t, err, codes.AlreadyExists, fault.ReasonIDTaken)
		want := []string{"create trial/s1/p1 0 investigator u1"}
		if got := audited(t, s); !slices.Equal(got, want) {
			t.Errorf("audit rows %q, want %q", got, want)
		}
	})
}

func TestRecordMedicationWithoutClientRecordID(t *testing.T) {
	eachMedications(t, func(t *testing.T, s *svc.ServiceContext) {
		in := medication(func(in *medicationpb.RecordMedicationRequest) { in.ClientRecordId = "" })
		first, again := record(t, s, proto.CloneOf(in)), record(t, s, proto.CloneOf(in))
		if again.GetCreated() || again.GetRecordId() != first.GetRecordId() {
			t.Errorf("the same content became another record")
		}
		in.EndTime = in.GetStartTime()
		if other := record(t, s, in); !other.GetCreated() {
			t.Errorf("other content became no record of its own")
		}
	})
}

func TestMedicationComesBackAsEntered(t *testing.T) {
	eachMedications(t, func(t *testing.T, s *svc.ServiceContext) {
		body := `{"patient_id":"p1","client_record_id":"c1","medication":{"system":"http://www.whocc.no/atc","code":"N02BE01","display":"扑热息痛"},` +
			`"dose":{"value":0.50,"value_rounded":true,"ucum_unit":"mcg"},"route":{"system":"https://standardterms.edqm.eu","code":"20053000"},` +
			`"start_time":"2026-03-01T08:30:00+08:00","end_time_text":"2026-03-02T20:30:00-05:00"}`
		in := &medicationpb.RecordMedicationRequest{}
		if bad := wirejson.Decode([]byte(body), in); bad != nil {
			t.Fatal(bad)
		}
		answer := record(t, s, in)
		resp := list(t, s, &medicationpb.ListMedicationsRequest{PatientId: "p1"})
		got := string(wirejson.Encode(resp.GetMedications()[0]))
		for _, want := range []string{
			`"medication":{"system":"http://www.whocc.no/atc","code":"N02BE01","display":"扑热息痛"}`,
			`"dose":{"value":0.5,"value_entered":"0.50","ucum_unit":"mcg"}`, // The caller's mark was not true.
			`"route":{"system":"https://standardterms.edqm.eu","code":"20053000"}`,
			`"start_time":"2026-03-01T00:30:00Z","start_time_text":"2026-03-01T08:30:00+08:00"`,
			`"end_time":"2026-03-03T01:30:00Z","end_time_text":"2026-03-02T20:30:00-05:00"`,
			`"patient_id":"p1","project_id":"trial","client_record_id":"c1"`, `"site_id":"s1"`, `"version":1`,
			`"rule_id":"dose.unit_suspect","severity":"QUERY","fields":["dose.ucum_unit"]`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("the record does not hold %s:\n%s", want, got)
			}
		}
		if fs := answer.GetFindings(); len(fs) != 1 || fs[0].GetRuleId() != "dose.unit_suspect" {
			t.Errorf("findings of the answer: %v", fs)
		}
	})
}

func TestRecordMedicationNamesEveryOffendingField(t *testing.T) {
	eachMedications(t, func(t *testing.T, s *svc.ServiceContext) {
		const codes3 = `"medication":{"system":"urn:x","code":"x"},"route":{"system":"urn:x","code":"x"},`
		for name, c := range map[string]struct{ body, want string }{
			"nothing": {`{}`, "dose value.missing\nmedication value.missing\npatient_id identifier.required\nroute value.missing\nstart_time time.missing"},
			"identifiers": {`{"patient_id":"a b","project_id":"/","client_record_id":"..",` + codes3 + `"dose":{"value":1,"ucum_unit":"mg"},"start_time":"2026-03-01T08:30:00Z"}`,
				"client_record_id identifier.malformed\npatient_id identifier.malformed\nproject_id identifier.malformed"},
			"parts": {`{"patient_id":"p1","medication":{"display":"x"},"route":{"system":"x"},"dose":{},"start_time":"2026-03-01T08:30:00Z"}`,
				"dose.ucum_unit value.missing\ndose.value value.missing\nmedication.code value.missing\nmedication.system value.missing\n" +
					"route.code value.missing\nroute.system coding.system_malformed"},
			"malformed texts": {`{"patient_id":"p1",` + codes3 + `"dose":{"value_entered":"x","ucum_unit":"m g"},"start_time_text":"x","end_time_text":"x"}`,
				"dose.ucum_unit dose.unit_malformed\ndose.value_entered value.malformed\nend_time_text time.malformed\nstart_time_text time.malformed"},
			"disagreement": {`{"patient_id":"p1",` + codes3 + `"dose":{"value":1,"value_entered":"2","ucum_unit":"mg"},` +
				`"start_time":"2026-03-01T08:30:00Z","start_time_text":"2026-03-01T08:30:00+01:00"}`, "dose.value value.disagrees\nstart_time time.disagrees"},
			"zero dose, end first": {`{"patient_id":"p1",` + codes3 + `"dose":{"value":0,"ucum_unit":"mg"},"start_time":"2026-03-01T08:30:00Z","end_time":"2026-03-01T08:29:59Z"}`,
				"dose.value dose.not_positive\nend_time time.end_before_start\nstart_time time.end_before_start"},
		} {
			in := &medicationpb.RecordMedicationRequest{}
			if bad := wirejson.Decode([]byte(c.body), in); bad != nil {
				t.Fatal(name, bad)
			}
			_, err := logic.NewRecordMedicationLogic(as(t, investigator), s).RecordMedication(in)
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

func TestMedicationAfterWithdrawal(t *testing.T) {
	eachMedications(t, func(t *testing.T, s *svc.ServiceContext) {
		begin := func(at time.Time) error {
			_, err := logic.NewRecordMedicationLogic(as(t, investigator), s).RecordMedication(medication(func(in *medicationpb.RecordMedicationRequest) {
				in.PatientId, in.StartTime = "gone", timestamppb.New(at)
			}))
			return err
		}
		wantFault(t, begin(withdrawn), codes.FailedPrecondition, fault.ReasonWithdrawn)
		wantFault(t, begin(withdrawn.Add(time.Minute)), codes.FailedPrecondition, fault.ReasonWithdrawn)
		if err := begin(withdrawn.Add(-time.Microsecond)); err != nil {
			t.Errorf("begun before the withdrawal: %v", err)
		}
	})
}

func TestWhoMayRecordMedication(t *testing.T) {
	eachMedications(t, func(t *testing.T, s *svc.ServiceContext) {
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
			"patient":                    {[]auth.Grant{{Role: auth.Patient, Project: "trial", Patient: "p1"}}, "p1", "", codes.PermissionDenied, fault.ReasonRoleForbids},
			"admin without project":      {[]auth.Grant{{Role: auth.Admin}}, "p1", "trial", codes.PermissionDenied, fault.ReasonNoGrant},
			"coordinator elsewhere":      {[]auth.Grant{{Role: auth.Coordinator, Project: "trial", Sites: []string{"s2"}}}, "p1", "", codes.NotFound, fault.ReasonSubjectNotFound},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := logic.NewRecordMedicationLogic(as(t, c.grants...), s).RecordMedication(medication(func(in *medicationpb.RecordMedicationRequest) {
					in.PatientId, in.ProjectId = c.patient, c.project
				}))
				wantFault(t, err, c.code, c.reason)
			})
		}
		coordinator := auth.Grant{Role: auth.Coordinator, Project: "trial", Sites: []string{"s1"}}
		if _, err := logic.NewRecordMedicationLogic(as(t, coordinator), s).RecordMedication(medication()); err != nil {
			t.Errorf("coordinator of the site: %v", err)
		}
	})
}

// The service's own context resolves patients in the registry of its process.
func TestMedicationOfARegisteredSubject(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open func(fs.FS) *sqldb.DB) {
		s := svc.New(open(records.WithSchema(store.Migrations)))
		ctx := as(t, investigator)
		if _, _, err := s.Registry.CreateProject(ctx, store.Project{ID: "trial"}, auth.Admin); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Registry.CreateSite(ctx, store.Site{Project: "trial", ID: "s1"}, auth.Admin); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Registry.CreateSubject(ctx, store.Subject{Project: "trial", Site: "s1", Patient: "p1"}, auth.Admin); err != nil {
			t.Fatal(err)
		}
		record(t, s, medication())
		if got := list(t, s, &medicationpb.ListMedicationsRequest{PatientId: "p1"}).GetMedications(); len(got) != 1 || got[0].GetSiteId() != "s1" {
			t.Errorf("listed: %v", got)
		}
		begun := medication().GetStartTime().AsTime()
		if _, _, err := s.Registry.Withdraw(ctx, auth.Scope{Project: "trial", AllSites: true}, "p1", begun.Add(-time.Hour), "", ""); err != nil {
			t.Fatal(err)
		}
		_, err := logic.NewRecordMedicationLogic(ctx, s).RecordMedication(medication(func(in *medicationpb.RecordMedicationRequest) { in.ClientRecordId = "c2" }))
		wantFault(t, err, codes.FailedPrecondition, fault.ReasonWithdrawn)
		_, err = logic.NewRecordMedicationLogic(ctx, s).RecordMedication(medication(func(in *medicationpb.RecordMedicationRequest) { in.PatientId = "nobody" }))
		wantFault(t, err, codes.NotFound, fault.ReasonSubjectNotFound)
	})
}
