// Package handler is the gateway's HTTP side: the table of routes, and for each
// what it reads from the request, which service it calls under which budget, and
// what it answers. Whatever composes several services is in package logic.
//
// A route is an endpoint, a function that returns its refusal as an error;
// handle (call.go) wraps it with what all routes share, Edge (edge.go) with what
// even unknown routes share.
package handler

import (
	"context"
	"net/http"
	"slices"
	"strings"

	tusd "github.com/tus/tusd/v2/pkg/handler"
	"github.com/tus/tusd/v2/pkg/memorylocker"
	"github.com/zeromicro/go-zero/rest"

	"clinsource/internal/fault"
	"clinsource/project-api/internal/svc"
)

type routes struct {
	svcCtx  *svc.ServiceContext
	page    Pages
	locks   tusd.Locker // One request at a time for each resumable upload.
	refused refusals
}

// Pages is what the documentation routes show.
type Pages struct {
	OpenAPI []byte // The contract, YAML.
}

const (
	projects = "/v1/projects"
	project  = projects + "/:project_id"
	subject  = project + "/subjects/:patient_id"
	uploads  = "/v1/uploads"
	grants   = "/v1/grants"
)

var (
	paging        = []string{"page_size", "page_token"}
	pagingRecords = []string{"page_size", "page_token", "include_voided"}
)

// table is every route of the gateway.
func (s *routes) table() []route {
	return []route{
		{method: "GET", path: "/healthz", open: true, do: healthz},
		{method: "GET", path: "/readyz", open: true, do: readyz},
		{method: "GET", path: "/docs", open: true, do: docs},
		{method: "GET", path: "/docs/:file", open: true, do: docs},
		{method: "GET", path: "/docs/errors/:reason", open: true, do: explain},
		{method: "GET", path: "/openapi.yaml", open: true, do: s.openapi},

		{method: "POST", path: projects, about: "subjects", do: createProject},
		{method: "GET", path: projects, about: "subjects", query: paging, do: listProjects},
		{method: "GET", path: project, query: []string{"require"}, do: projectDetails},
		{method: "POST", path: project + "/sites", about: "subjects", do: createSite},
		{method: "GET", path: project + "/sites", about: "subjects", query: paging, do: listSites},
		{method: "POST", path: project + "/subjects", about: "subjects", do: createSubject},
		{method: "GET", path: project + "/subjects", about: "subjects", query: paging, do: listSubjects},
		{method: "GET", path: subject, query: []string{"require"}, do: subjectDetails},
		{method: "POST", path: subject, about: "subjects", verbs: map[string]endpoint{"withdraw": withdrawSubject}},
		{method: "POST", path: grants, about: "grants", do: createGrant},
		{method: "GET", path: grants, about: "grants", query: append(grantQuery, paging...), do: listGrants},
		{method: "DELETE", path: grants + "/:grant_id", about: "grants", do: revokeGrant},
		{method: "POST", path: project + "/emergency-access", about: "grants", do: takeEmergencyAccess},
		{method: "POST", path: accountPrefix + ":sub", about: "accounts", verbs: map[string]endpoint{"disable": disableAccount, "enable": enableAccount}},
		{method: "POST", path: subject + "/consents", about: "subjects", do: recordConsent},
		{method: "GET", path: subject + "/consents", about: "subjects", query: paging, do: listConsents},

		{method: "GET", path: subject + "/access-log", about: "audit", query: []string{"page_size"}, do: accessLog},
		{method: "GET", path: project + "/audit/:service", about: "audit", query: append([]string{"patient_id", "actor", "action", "from", "to"}, paging...), do: listAudit},
		{method: "GET", path: "/v1/audit/:service", about: "audit", stream: true, do: exportAudit},

		{method: "POST", path: subject + "/vitals", about: "vitals", do: uploadVitals},
		{method: "GET", path: subject + "/vitals", about: "vitals", query: pagingRecords, do: listVitals},
		{method: "POST", path: subject + "/vitals:batch", about: "vitals", do: uploadVitalsBatch},
		{method: "PATCH", path: subject + "/vitals/:record_id", about: "vitals", do: amendVitals},
		{method: "POST", path: subject + "/vitals/:record_id", about: "vitals", verbs: map[string]endpoint{"void": voidVitals}},
		{method: "GET", path: subject + "/vitals/:record_id/versions", about: "vitals", query: paging, do: listVitalsVersions},
		{method: "PUT", path: subject + "/images", about: "images", stream: true, do: uploadImage},
		{method: "GET", path: subject + "/images", about: "images", query: paging, do: listImages},
		{method: "GET", path: subject + "/images/:image_id", about: "images", stream: true, do: downloadImage},
		{method: "OPTIONS", path: uploads, about: "images", stream: true, do: s.tus((*tusd.UnroutedHandler).PostFile)}, // Answered before PostFile.
		{method: "POST", path: uploads, about: "images", stream: true, do: s.tus((*tusd.UnroutedHandler).PostFile)},
		{method: "HEAD", path: uploads + "/:upload_id", about: "images", stream: true, do: s.tus((*tusd.UnroutedHandler).HeadFile)},
		{method: "PATCH", path: uploads + "/:upload_id", about: "images", stream: true, do: s.tus((*tusd.UnroutedHandler).PatchFile)},
		{method: "DELETE", path: uploads + "/:upload_id", about: "images", stream: true, do: s.tus((*tusd.UnroutedHandler).DelFile)},
		{method: "POST", path: subject + "/reports", about: "reports", do: submitReport},
		{method: "GET", path: subject + "/reports", about: "reports", query: pagingRecords, do: listReports},
		{method: "PATCH", path: subject + "/reports/:record_id", about: "reports", do: amendReport},
		{method: "POST", path: subject + "/reports/:record_id", about: "reports", verbs: map[string]endpoint{"void": voidReport}},
		{method: "GET", path: subject + "/reports/:record_id/versions", about: "reports", query: paging, do: listReportVersions},
		{method: "POST", path: subject + "/medications", about: "medications", do: recordMedication},
		{method: "GET", path: subject + "/medications", about: "medications", query: pagingRecords, do: listMedications},
		{method: "PATCH", path: subject + "/medications/:record_id", about: "medications", do: amendMedication},
		{method: "POST", path: subject + "/medications/:record_id", about: "medications", verbs: map[string]endpoint{"void": voidMedication}},
		{method: "GET", path: subject + "/medications/:record_id/versions", about: "medications", query: paging, do: listMedicationVersions},
	}
}

// Register adds all routes to the server.
//
// What the gateway itself refuses is counted; report, called once, gives it to the
// audit log each minute.
func Register(server *rest.Server, svcCtx *svc.ServiceContext, pages Pages) (report func(context.Context)) {
	s := &routes{svcCtx: svcCtx, page: pages, locks: memorylocker.New(), refused: refusals{intake: svcCtx.Refusals}}
	showBudgets(svcCtx.Budgets)
	for _, rt := range s.table() {
		expect(rt.method + " " + rt.path)
		server.AddRoute(rest.Route{Method: rt.method, Path: rt.path, Handler: s.handle(rt)})
	}
	return s.refused.keepReporting
}

// NotFound answers for paths that no route has.
func NotFound() http.Handler {
	return refusing(fault.NotFound(fault.ReasonRouteNotFound, "there is no such path; /docs lists all"))
}

// NotAllowed answers for methods that a path does not take, and lists those
// that it does.
func NotAllowed() http.Handler {
	f := fault.Unimplemented("the path does not take this method; see the Allow header")
	f.Reason = fault.ReasonMethodNotAllowed
	refuse := refusing(f)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		methods := allowed(r.URL.Path)
		if len(methods) == 0 { // It takes a verb, and has none.
			NotFound().ServeHTTP(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(methods, ", "))
		refuse.ServeHTTP(w, r)
	})
}

// allowed gives the methods of the routes whose pattern the path fits.
func allowed(path string) []string {
	var methods []string
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for _, rt := range (&routes{}).table() {
		pattern := strings.Split(strings.Trim(rt.path, "/"), "/")
		fits := slices.EqualFunc(pattern, parts, func(p, s string) bool { return p == s || strings.HasPrefix(p, ":") })
		endsInID := strings.HasPrefix(pattern[len(pattern)-1], ":")
		if endsInID && (rt.verbs != nil) != strings.Contains(parts[len(parts)-1], ":") {
			continue
		}
		if fits && !slices.Contains(methods, rt.method) {
			methods = append(methods, rt.method)
		}
	}
	return methods
}

func refusing(f *fault.Error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: w, r: r, state: stateOf(r)}
		c.refuse(f)
	})
}
