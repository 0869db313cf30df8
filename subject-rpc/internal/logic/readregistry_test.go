package logic_test

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
	subjectpb "clinsource/proto/subject"
	"clinsource/subject-rpc/internal/logic"
	"clinsource/subject-rpc/internal/svc"
)

// A lister gives one page of ids of a list of the project trial.
type lister func(ctx context.Context, s *svc.ServiceContext, size int32, token string) (ids []string, next string, err error)

var listers = map[string]lister{
	"projects": func(ctx context.Context, s *svc.ServiceContext, size int32, token string) (ids []string, next string, err error) {
		resp, err := logic.NewListProjectsLogic(ctx, s).ListProjects(&subjectpb.ListProjectsRequest{PageSize: size, PageToken: token})
		for _, p := range resp.GetProjects() {
			ids = append(ids, p.GetProjectId())
		}
		return ids, resp.GetNextPageToken(), err
	},
	"sites": func(ctx context.Context, s *svc.ServiceContext, size int32, token string) (ids []string, next string, err error) {
		resp, err := logic.NewListSitesLogic(ctx, s).ListSites(&subjectpb.ListSitesRequest{ProjectId: "trial", PageSize: size, PageToken: token})
		for _, p := range resp.GetSites() {
			ids = append(ids, p.GetSiteId())
		}
		return ids, resp.GetNextPageToken(), err
	},
	"subjects": func(ctx context.Context, s *svc.ServiceContext, size int32, token string) (ids []string, next string, err error) {
		resp, err := logic.NewListSubjectsLogic(ctx, s).ListSubjects(&subjectpb.ListSubjectsRequest{ProjectId: "trial", PageSize: size, PageToken: token})
		for _, p := range resp.GetSubjects() {
			ids = append(ids, p.GetPatientId())
		}
		return ids, resp.GetNextPageToken(), err
	},
}

// Lists are by id and hold what the caller's grants and sites reach.
func TestRegistryLists(t *testing.T) {
	elsewhere := auth.Grant{Role: auth.Monitor, Project: "elsewhere"}
	siteTwo := auth.Grant{Role: auth.Coordinator, Project: "trial", Sites: []string{"s2"}}
	all := []string{"p1", "p2", "p3"}
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		if _, err := withdraw(as(t, investigator), s, "p1", time.Now()); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			grants                    []auth.Grant
			projects, sites, subjects []string
		}{
			"admin of none":    {[]auth.Grant{setup}, []string{"elsewhere", "trial"}, []string{"s1", "s2"}, all},
			"investigator":     {[]auth.Grant{investigator}, []string{"trial"}, []string{"s1", "s2"}, all},
			"two projects":     {[]auth.Grant{investigator, elsewhere}, []string{"elsewhere", "trial"}, []string{"s1", "s2"}, all},
			"one site":         {[]auth.Grant{siteOne}, []string{"trial"}, []string{"s1"}, []string{"p1", "p3"}},
			"two sites":        {[]auth.Grant{siteTwo, siteOne}, []string{"trial"}, []string{"s1", "s2"}, all},
			"a grant too many": {[]auth.Grant{siteTwo, {Role: auth.Investigator, Project: "planned"}}, []string{"trial"}, []string{"s2"}, []string{"p2"}},
		} {
			for kind, want := range map[string][]string{"projects": c.projects, "sites": c.sites, "subjects": c.subjects} {
				got, next, err := listers[kind](as(t, c.grants...), s, 0, "")
				if err != nil || next != "" || !slices.Equal(got, want) {
					t.Errorf("%s of %s: %q, next %q, %v; want %q", kind, name, got, next, err, want)
				}
			}
		}
		if got, _, err := listers["projects"](as(t), s, 0, ""); err != nil || len(got) != 0 {
			t.Errorf("projects of nobody: %q, %v", got, err)
		}
	})
}

func TestRegistryListsTurnPages(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		if _, err := withdraw(as(t, investigator), s, "p2", time.Now()); err != nil {
			t.Fatal(err)
		}
		for kind, turn := range listers {
			whole, _, err := turn(as(t, setup), s, 0, "")
			if err != nil {
				t.Fatal(err)
			}
			for size := int32(1); size <= 4; size++ {
				var joined []string
				for token := ""; ; {
					page, next, err := turn(as(t, setup), s, size, token)
					if err != nil || len(page) == 0 {
						t.Fatalf("%s by %d: a page of %d, %v", kind, size, len(page), err)
					}
					if joined = append(joined, page...); next == "" {
						break
					}
					token = next
				}
				if !slices.Equal(joined, whole) {
					t.Errorf("%s by %d: %q, want %q", kind, size, joined, whole)
				}
			}
			_, _, err = turn(as(t, setup), s, -1, "")
			if got := fields(err); got != "page_size page.size" {
				t.Errorf("%s: got %s", kind, got)
			}
		}
		_, token, err := listers["sites"](as(t, setup), s, 1, "")
		if err != nil || token == "" {
			t.Fatal(token, err)
		}
		_, _, err = listers["subjects"](as(t, setup), s, 1, token)
		wantFault(t, err, codes.InvalidArgument, fault.ReasonPageTokenInvalid)
	})
}

func TestWhoMayListTheRegistry(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		for kind, turn := range listers {
			if kind == "projects" {
				continue // For everybody: they list what the grants reach.
			}
			_, _, err := turn(as(t, investigator), s, 0, "")
			wantFault(t, err, codes.NotFound, fault.ReasonProjectNotFound) // There is none yet.
			_, _, err = turn(as(t, device), s, 0, "")
			wantFault(t, err, codes.PermissionDenied, fault.ReasonRoleForbids)
			_, _, err = turn(as(t, auth.Grant{Role: auth.Admin, Project: "elsewhere"}), s, 0, "")
			wantFault(t, err, codes.PermissionDenied, fault.ReasonNoGrant)
		}
		_, err := logic.NewListSitesLogic(as(t, investigator), s).ListSites(&subjectpb.ListSitesRequest{})
		if got, want := fields(err), "project_id identifier.required"; got != want {
			t.Errorf("got %s", got)
		}
	})
}

func TestRegistrySummary(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		if _, err := createProject(as(t, setup), s, "trial", "Title of trial"); err != nil {
			t.Fatal(err)
		}
		if empty, err := summarize(as(t, investigator), s, "trial", ""); err != nil || empty.GetCount() != 0 || empty.GetSites() != 0 || empty.GetNewestTime() != nil {
			t.Errorf("of nothing: %v, %v", empty, err)
		}
		populate(t, s)
		if _, err := withdraw(as(t, investigator), s, "p1", time.Now()); err != nil {
			t.Fatal(err)
		}
		newest, err := getSubject(as(t, investigator), s, "trial", "p1")
		if err != nil {
			t.Fatal(err)
		}
		all, err := summarize(as(t, investigator), s, "trial", "")
		if err != nil || all.GetProject().GetTitle() != "Title of trial" || all.GetCount() != 3 || all.GetWithdrawn() != 1 || all.GetSites() != 2 || all.GetSubject() != nil ||
			!all.GetNewestTime().AsTime().Equal(newest.GetReceivedTime().AsTime()) ||
			!maps.Equal(all.GetSubjectsPerSite(), map[string]int64{"s1": 2, "s2": 1}) {
			t.Errorf("of all: %v, %v", all, err)
		}
		siteTwo := auth.Grant{Role: auth.Coordinator, Project: "trial", Sites: []string{"s2"}}
		two, err := summarize(as(t, siteTwo), s, "trial", "")
		if err != nil || two.GetCount() != 1 || two.GetWithdrawn() != 0 || two.GetSites() != 1 || !maps.Equal(two.GetSubjectsPerSite(), map[string]int64{"s2": 1}) {
			t.Errorf("of a site: %v, %v", two, err)
		}
		one, err := summarize(as(t, siteOne), s, "trial", "p1")
		if err != nil || one.GetCount() != 1 || one.GetWithdrawn() != 1 || one.GetSites() != 1 || one.GetSubject().GetVersion() != 2 || one.GetNewestTime() == nil {
			t.Errorf("of one: %v, %v", one, err)
		}
	})
}

func TestWhoMaySummarizeTheRegistry(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		for name, c := range map[string]struct {
			grant            auth.Grant
			project, patient string
			code             codes.Code
			reason           string
		}{
			"unknown project":      {auth.Grant{Role: auth.Monitor, Project: "planned"}, "planned", "", codes.NotFound, fault.ReasonProjectNotFound},
			"unknown, of an admin": {setup, "planned", "p1", codes.NotFound, fault.ReasonProjectNotFound},
			"no grant":             {investigator, "elsewhere", "", codes.PermissionDenied, fault.ReasonNoGrant},
			"no grant, unknown":    {investigator, "planned", "", codes.PermissionDenied, fault.ReasonNoGrant},
			"device":               {device, "trial", "", codes.PermissionDenied, fault.ReasonRoleForbids},
			"unknown subject":      {investigator, "trial", "nobody", codes.NotFound, fault.ReasonSubjectNotFound},
			"of another project":   {investigator, "trial", "other", codes.NotFound, fault.ReasonSubjectNotFound},
			"of another site":      {siteOne, "trial", "p2", codes.NotFound, fault.ReasonSubjectNotFound},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := summarize(as(t, c.grant), s, c.project, c.patient)
				wantFault(t, err, c.code, c.reason)
			})
		}
		_, err := summarize(as(t, investigator), s, "", "/")
		if got, want := fields(err), "patient_id identifier.malformed\nproject_id identifier.required"; got != want {
			t.Errorf("got %s", got)
		}
	})
}

func TestRegistryReadsAreAudited(t *testing.T) {
	eachRegistry(t, func(t *testing.T, s *svc.ServiceContext) {
		populate(t, s)
		before, ctx := len(registryAudit(t, s)), as(t, siteOne)
		for _, kind := range []string{"projects", "sites", "subjects"} {
			if _, _, err := listers[kind](ctx, s, 0, ""); err != nil {
				t.Fatal(err)
			}
		}
		for _, patient := range []string{"", "p1"} {
			if _, err := summarize(ctx, s, "trial", patient); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{"list projects //  v0 1  u1", "list sites trial//  v0 1 coordinator u1", "list subjects trial//  v0 2 coordinator u1",
			"summarize subjects trial//  v0 2 coordinator u1", "summarize subjects trial//p1  v0 1 coordinator u1"}
		if got := registryAudit(t, s)[before:]; !slices.Equal(got, want) {
			t.Errorf("audit rows %q\nwant %q", got, want)
		}
	})
}
