package logic_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/svc"
)

func TestCreateProject(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		ctx, begun := as(t, setup), time.Now().Add(-time.Second)
		first, err := createProject(ctx, s, "trial", "试验一")
		if err != nil {
			t.Fatal(err)
		}
		if p := first.GetProject(); !first.GetCreated() || p.GetProjectId() != "trial" || p.GetTitle() != "试验一" || p.GetReceivedTime().AsTime().Before(begun) {
			t.Errorf("created: %v", first)
		}
		same, err := createProject(ctx, s, "trial", "试验一")
		if err != nil || same.GetCreated() || !proto.Equal(same.GetProject(), first.GetProject()) {
			t.Errorf("resend: %v, %v; want %v", same, err, first.GetProject())
		}
		_, err = createProject(ctx, s, "trial", "")
		wantFault(t, err, codes.AlreadyExists, fault.ReasonIDTaken)
		if got, want := registryAudit(t, s), []string{"create projects trial// trial v1 0 admin u1"}; !slices.Equal(got, want) {
			t.Errorf("audit rows %q, want %q", got, want)
		}
		_, err = createProject(ctx, s, "a b", strings.Repeat("é", 129))
		wantFault(t, err, codes.InvalidArgument, fault.ReasonFieldInvalid)
		if got, want := fields(err), "project_id identifier.malformed\ntitle text.too_long"; got != want {
			t.Errorf("got %s", got)
		}
		if _, err := createProject(ctx, s, "long", strings.Repeat("é", 128)); err != nil {
			t.Errorf("a title of 256 bytes: %v", err)
		}
	})
}

func TestOnlyAnAdminCreatesProjects(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		for _, grants := range [][]auth.Grant{nil, {investigator}, {siteOne}, {device}, {{Role: auth.DataManager, Project: "new"}}} {
			_, err := createProject(as(t, grants...), s, "new", "")
			wantFault(t, err, codes.PermissionDenied, fault.ReasonRoleForbids)
		}
		if _, err := createProject(as(t, auth.Grant{Role: auth.Admin, Project: "trial"}), s, "new", ""); err != nil {
			t.Errorf("an admin of another project: %v", err)
		}
	})
}

func TestCreateSite(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		ctx, before := as(t, investigator), len(registryAudit(t, s))
		first, err := createSite(ctx, s, "trial", "s3", "Charité")
		if err != nil {
			t.Fatal(err)
		}
		if site := first.GetSite(); !first.GetCreated() || site.GetProjectId() != "trial" || site.GetSiteId() != "s3" || site.GetName() != "Charité" || site.GetReceivedTime() == nil {
			t.Errorf("created: %v", first)
		}
		same, err := createSite(ctx, s, "trial", "s3", "Charité")
		if err != nil || same.GetCreated() || !proto.Equal(same.GetSite(), first.GetSite()) {
			t.Errorf("resend: %v, %v; want %v", same, err, first.GetSite())
		}
		_, err = createSite(ctx, s, "trial", "s3", "Charite")
		wantFault(t, err, codes.AlreadyExists, fault.ReasonIDTaken)
		if got, want := registryAudit(t, s)[before:], []string{"create sites trial/s3/ s3 v1 0 investigator u1"}; !slices.Equal(got, want) {
			t.Errorf("audit rows %q, want %q", got, want)
		}
		_, err = createSite(as(t, setup), s, "nowhere", "s1", "")
		wantFault(t, err, codes.NotFound, fault.ReasonProjectNotFound)
		_, err = createSite(ctx, s, "elsewhere", "s2", "")
		wantFault(t, err, codes.PermissionDenied, fault.ReasonNoGrant)
		for _, grant := range []auth.Grant{siteOne, {Role: auth.Monitor, Project: "trial"}, device} {
			_, err = createSite(as(t, grant), s, "trial", "s1", "Name of s1")
			wantFault(t, err, codes.PermissionDenied, fault.ReasonRoleForbids)
		}
		_, err = createSite(ctx, s, "", "/", "\xff")
		if got, want := fields(err), "name text.malformed\nproject_id identifier.required\nsite_id identifier.malformed"; got != want {
			t.Errorf("got %s", got)
		}
	})
}

func TestCreateSubject(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		ctx, before := as(t, investigator), len(registryAudit(t, s))
		first, err := createSubject(ctx, s, "trial", "s1", "p9")
		if err != nil {
			t.Fatal(err)
		}
		if p := first.GetSubject(); !first.GetCreated() || p.GetPatientId() != "p9" || p.GetProjectId() != "trial" || p.GetSiteId() != "s1" ||
			p.GetState() != subjectpb.SubjectState_ENROLLED || p.GetVersion() != 1 || p.GetWithdrawalTime() != nil || p.GetReceivedTime() == nil {
			t.Errorf("created: %v", first)
		}
		same, err := createSubject(ctx, s, "trial", "s1", "p9")
		if err != nil || same.GetCreated() || !proto.Equal(same.GetSubject(), first.GetSubject()) {
			t.Errorf("resend: %v, %v; want %v", same, err, first.GetSubject())
		}
		if got, want := registryAudit(t, s)[before:], []string{"create subjects trial/s1/p9 p9 v1 0 investigator u1"}; !slices.Equal(got, want) {
			t.Errorf("audit rows %q, want %q", got, want)
		}
		for name, c := range map[string]struct {
			grant                  auth.Grant
			project, site, patient string
			code                   codes.Code
			reason                 string
		}{
			"at another site":            {investigator, "trial", "s2", "p9", codes.AlreadyExists, fault.ReasonIDTaken},
			"of another project":         {investigator, "trial", "s1", "other", codes.AlreadyExists, fault.ReasonIDTaken},
			"from another project":       {setup, "elsewhere", "s1", "p9", codes.AlreadyExists, fault.ReasonIDTaken},
			"unknown site":               {investigator, "trial", "s3", "p10", codes.NotFound, fault.ReasonSiteNotFound},
			"site of another project":    {setup, "elsewhere", "s2", "p10", codes.NotFound, fault.ReasonSiteNotFound},
			"unknown project":            {setup, "nowhere", "s1", "p10", codes.NotFound, fault.ReasonProjectNotFound},
			"coordinator, other site":    {siteOne, "trial", "s2", "p10", codes.NotFound, fault.ReasonSiteNotFound},
			"coordinator, unknown site":  {siteOne, "trial", "s3", "p10", codes.NotFound, fault.ReasonSiteNotFound},
			"coordinator, other project": {siteOne, "elsewhere", "s1", "p10", codes.PermissionDenied, fault.ReasonNoGrant},
			"monitor":                    {auth.Grant{Role: auth.Monitor, Project: "trial"}, "trial", "s1", "p10", codes.PermissionDenied, fault.ReasonRoleForbids},
			"device":                     {device, "trial", "s1", "p10", codes.PermissionDenied, fault.ReasonRoleForbids},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := createSubject(as(t, c.grant), s, c.project, c.site, c.patient)
				wantFault(t, err, c.code, c.reason)
			})
		}
		if _, err := createSubject(as(t, siteOne), s, "trial", "s1", "p10"); err != nil {
			t.Errorf("a coordinator at their own site: %v", err)
		}
		_, err = createSubject(ctx, s, "", "", "..")
		if got, want := fields(err), "patient_id identifier.malformed\nproject_id identifier.required\nsite_id identifier.required"; got != want {
			t.Errorf("got %s", got)
		}
	})
}

func TestGetSubject(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		before := len(registryAudit(t, s))
		if got, err := getSubject(as(t, siteOne), s, "trial", "p1"); err != nil || got.GetPatientId() != "p1" || got.GetSiteId() != "s1" {
			t.Errorf("got %v, %v", got, err)
		}
		if got, want := registryAudit(t, s)[before:], []string{"read subjects trial/s1/p1 p1 v1 1 coordinator u1"}; !slices.Equal(got, want) {
			t.Errorf("audit rows %q, want %q", got, want)
		}
		for _, c := range []struct {
			grant            auth.Grant
			project, patient string
			code             codes.Code
			reason           string
		}{
			{siteOne, "trial", "p2", codes.NotFound, fault.ReasonSubjectNotFound},
			{investigator, "trial", "nobody", codes.NotFound, fault.ReasonSubjectNotFound},
			{investigator, "trial", "other", codes.NotFound, fault.ReasonSubjectNotFound},
			{investigator, "elsewhere", "other", codes.PermissionDenied, fault.ReasonNoGrant},
			{device, "trial", "p1", codes.PermissionDenied, fault.ReasonRoleForbids},
		} {
			_, err := getSubject(as(t, c.grant), s, c.project, c.patient)
			wantFault(t, err, c.code, c.reason)
		}
		_, err := getSubject(as(t, investigator), s, "", "/")
		if got, want := fields(err), "patient_id identifier.malformed\nproject_id identifier.required"; got != want {
			t.Errorf("got %s", got)
		}
	})
}

func TestResolveSubject(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		at := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
		if _, err := withdraw(as(t, investigator), s, "p2", at); err != nil {
			t.Fatal(err)
		}
		before := len(registryAudit(t, s))
		resolve := func(patient string) (*subjectpb.ResolveSubjectResponse, error) { // Without a user: the peer is a service.
			return logic.NewResolveSubjectLogic(as(t), s).ResolveSubject(&subjectpb.ResolveSubjectRequest{PatientId: patient})
		}
		if got, err := resolve("other"); err != nil || got.GetProjectId() != "elsewhere" || got.GetSiteId() != "s1" ||
			got.GetState() != subjectpb.SubjectState_ENROLLED || got.GetWithdrawalTime() != nil {
			t.Errorf("enrolled: %v, %v", got, err)
		}
		if got, err := resolve("p2"); err != nil || got.GetProjectId() != "trial" || got.GetSiteId() != "s2" ||
			got.GetState() != subjectpb.SubjectState_WITHDRAWN || !got.GetWithdrawalTime().AsTime().Equal(at) {
			t.Errorf("withdrawn: %v, %v", got, err)
		}
		_, err := resolve("nobody")
		wantFault(t, err, codes.NotFound, fault.ReasonSubjectNotFound)
		_, err = resolve("")
		if got, want := fields(err), "patient_id identifier.required"; got != want {
			t.Errorf("got %s", got)
		}
		if got := registryAudit(t, s)[before:]; len(got) != 0 {
			t.Errorf("audit rows %q: what comes of the answer, the asking service audits", got)
		}
	})
}
