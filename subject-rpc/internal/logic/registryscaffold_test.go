package logic_test

import (
	"context"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/auth"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/sqldb/sqldbtest"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/store"
	"clinsource/subject-rpc/internal/svc"
)

// eachRegistry runs f on an empty registry of every engine.
func eachRegistry(t *testing.T, f func(t *testing.T, s *svc.ServiceContext)) {
	sqldbtest.Each(t, func(t *testing.T, open func(fs.FS) *sqldb.DB) {
		f(t, svc.New(open(records.WithSchema(store.Migrations))))
	})
}

// Who acts in the registry's tests.
var (
	setup   = auth.Grant{Role: auth.Admin} // Without a project: whoever sets projects up.
	siteOne = auth.Grant{Role: auth.Coordinator, Project: "trial", Sites: []string{"s1"}}
	device  = auth.Grant{Role: auth.Device, Project: "trial"}
)

func createProject(ctx context.Context, s *svc.ServiceContext, id, title string) (*subjectpb.CreateProjectResponse, error) {
	return logic.NewCreateProjectLogic(ctx, s).CreateProject(&subjectpb.CreateProjectRequest{ProjectId: id, Title: title})
}

func createSite(ctx context.Context, s *svc.ServiceContext, project, id, name string) (*subjectpb.CreateSiteResponse, error) {
	return logic.NewCreateSiteLogic(ctx, s).CreateSite(&subjectpb.CreateSiteRequest{ProjectId: project, SiteId: id, Name: name})
}

func createSubject(ctx context.Context, s *svc.ServiceContext, project, site, patient string) (*subjectpb.CreateSubjectResponse, error) {
	return logic.NewCreateSubjectLogic(ctx, s).CreateSubject(&subjectpb.CreateSubjectRequest{ProjectId: project, SiteId: site, PatientId: patient})
}

func withdraw(ctx context.Context, s *svc.ServiceContext, patient string, at time.Time) (*subjectpb.WithdrawSubjectResponse, error) {
	return logic.NewWithdrawSubjectLogic(ctx, s).WithdrawSubject(
		&subjectpb.WithdrawSubjectRequest{ProjectId: "trial", PatientId: patient, WithdrawalTime: timestamppb.New(at)})
}

func getSubject(ctx context.Context, s *svc.ServiceContext, project, patient string) (*subjectpb.Subject, error) {
	resp, err := logic.NewGetSubjectLogic(ctx, s).GetSubject(&subjectpb.GetSubjectRequest{ProjectId: project, PatientId: patient})
	return resp.GetSubject(), err
}

func summarize(ctx context.Context, s *svc.ServiceContext, project, patient string) (*subjectpb.GetSubjectsSummaryResponse, error) {
	return logic.NewGetSubjectsSummaryLogic(ctx, s).GetSubjectsSummary(&subjectpb.GetSubjectsSummaryRequest{ProjectId: project, PatientId: patient})
}

// populate makes two projects: trial with the sites s1 (p1, p3) and s2 (p2), and
// elsewhere with the site s1 (other).
func populate(t *testing.T, s *svc.ServiceContext) {
	t.Helper()
	ctx := as(t, setup)
	for _, project := range []string{"trial", "elsewhere"} {
		if _, err := createProject(ctx, s, project, "Title of "+project); err != nil {
			t.Fatal(err)
		}
	}
	for _, site := range [][2]string{{"trial", "s2"}, {"trial", "s1"}, {"elsewhere", "s1"}} {
		if _, err := createSite(ctx, s, site[0], site[1], "Name of "+site[1]); err != nil {
			t.Fatal(err)
		}
	}
	for _, subject := range [][3]string{{"trial", "s1", "p3"}, {"trial", "s1", "p1"}, {"trial", "s2", "p2"}, {"elsewhere", "s1", "other"}} {
		if _, err := createSubject(ctx, s, subject[0], subject[1], subject[2]); err != nil {
			t.Fatal(err)
		}
	}
}

// registryAudit gives the audit rows of projects, sites and subjects as "action
// kind project/site/patient record version records role actor".
func registryAudit(t *testing.T, s *svc.ServiceContext) []string {
	t.Helper()
	rows, err := s.Medications.DB().Query(as(t), `SELECT action, kind, project_id, site_id, patient_id, record_id, version, records, role, actor
 FROM audit_events WHERE kind IN ('projects', 'sites', 'subjects') ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var action, kind, project, site, patient, record, role, actor string
		var version, n int64
		if err := rows.Scan(&action, &kind, &project, &site, &patient, &record, &version, &n, &role, &actor); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %s %s/%s/%s %s v%d %d %s %s", action, kind, project, site, patient, record, version, n, role, actor))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
