package openapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/rest"
	"github.com/zeromicro/go-zero/rest/router"

	"clinsource/internal/auth"
	"clinsource/internal/devcert"
	"clinsource/internal/fault"
	"clinsource/internal/limits"
	"clinsource/project-api/internal/config"
	"clinsource/project-api/internal/handler"
	"clinsource/project-api/internal/problem"
	"clinsource/project-api/internal/svc"
)

// gateway is the gateway's handlers behind a real HTTP server, before services
// that are fakes.
type gateway struct {
	url    string
	token  string
	routes []rest.Route
}

// unknown is a registry that has not heard of any account.
var unknown = auth.AccountSourceFunc(func(context.Context, string, string) (auth.Account, error) { return auth.Account{}, nil })

func newGateway(t *testing.T, with func(*svc.ServiceContext)) *gateway {
	t.Helper()
	logx.Disable()
	dir := t.TempDir()
	if _, err := devcert.Ensure(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.NewVerifier(auth.Config{{Issuer: auth.DevIssuer, Audience: auth.DevAudience, JwksFile: filepath.Join(dir, "issuer.jwks.json")}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := auth.Issue(filepath.Join(dir, "issuer.key"), "tester", []auth.Grant{{Role: auth.Admin}, {Role: auth.Admin, Project: "p"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	gate, err := limits.New(limits.Config{}, verifier)
	if err != nil {
		t.Fatal(err)
	}
	soon := 5 * time.Second
	svcCtx := &svc.ServiceContext{Gate: gate, Accounts: unknown, Budgets: config.Budgets{
		Subjects: soon, Vitals: soon, Images: soon, Reports: soon, Medications: soon,
		Write: soon, Batch: soon, Idle: soon, Commit: soon, Request: 2 * soon,
	}}
	with(svcCtx)
	server, err := rest.NewServer(rest.RestConf{})
	if err != nil {
		t.Fatal(err)
	}
	handler.Register(server, svcCtx, handler.Pages{OpenAPI: []byte("openapi: 3.1.0\n")})
	r := router.NewRouter()
	r.SetNotFoundHandler(handler.NotFound())
	r.SetNotAllowedHandler(handler.NotAllowed())
	for _, route := range server.Routes() {
		if err := r.Handle(route.Method, route.Path, route.Handler); err != nil {
			t.Fatal(err)
		}
	}
	listening := httptest.NewServer(handler.Edge(r))
	t.Cleanup(listening.Close)
	return &gateway{url: listening.URL, token: token, routes: spelt(server.Routes())}
}

// request is one call of the gateway.
type request struct {
	method, path, body string
	header             map[string]string
}

// do sends a request and gives the answer, which it holds against the contract.
func (g *gateway) do(t *testing.T, in request) (status int, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), in.method, g.url+in.path, strings.NewReader(in.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.token)
	for name, value := range in.header {
		req.Header.Set(name, value)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	if err := Check(in.method, in.path, resp.StatusCode, resp.Header.Get("Content-Type"), body); err != nil {
		t.Error(err)
	}
	if resp.Header.Get("X-Request-Id") == "" {
		t.Errorf("%s %s: the answer has no X-Request-Id", in.method, in.path)
	}
	return resp.StatusCode, body
}

// verbs are the endings by which the contract names what the table serves as one
// route: a verb is split off in the handler.
var verbs = map[string][]string{
	"POST /v1/projects/:project_id/subjects/:patient_id":                        {"withdraw"},
	"POST /v1/projects/:project_id/subjects/:patient_id/vitals/:record_id":      {"void"},
	"POST /v1/projects/:project_id/subjects/:patient_id/reports/:record_id":     {"void"},
	"POST /v1/projects/:project_id/subjects/:patient_id/medications/:record_id": {"void"},
	"POST /v1/accounts/:sub": {"disable", "enable"},
}

// spelt gives the routes with each verb as a path of its own.
func spelt(routes []rest.Route) (all []rest.Route) {
	for _, route := range routes {
		endings := verbs[route.Method+" "+route.Path]
		for _, verb := range endings {
			all = append(all, rest.Route{Method: route.Method, Path: route.Path + ":" + verb})
		}
		if len(endings) == 0 {
			all = append(all, route)
		}
	}
	return all
}

// template writes a route's path as the contract does.
func template(route rest.Route) string {
	segments := strings.Split(route.Path, "/")
	for i, s := range segments {
		if name, ok := strings.CutPrefix(s, ":"); ok {
			name, verb, _ := strings.Cut(name, ":")
			if segments[i] = "{" + name + "}"; verb != "" {
				segments[i] += ":" + verb
			}
		}
	}
	return strings.Join(segments, "/")
}

// Every route of the table is in the contract, and the reverse.
func TestRoutesAreTheContracts(t *testing.T) {
	c := shipped(t)
	var served, said []string
	for _, route := range newGateway(t, failing(nil)).routes {
		served = append(served, route.Method+" "+template(route))
	}
	for _, item := range c.paths {
		for method := range item.operations {
			said = append(said, method+" "+item.template)
		}
	}
	for _, name := range served {
		if !slices.Contains(said, name) {
			t.Errorf("%s is served and not in the contract: describe it in gen/contract.yaml", name)
		}
	}
	for _, name := range said {
		if !slices.Contains(served, name) {
			t.Errorf("%s is in the contract and not served", name)
		}
	}
}

// A route takes the query parameters that the contract names, and no others.
func TestQueryParametersAreTheContracts(t *testing.T) {
	c := shipped(t)
	g := newGateway(t, failing(nil))
	all := []string{"no_such_parameter"}
	for _, item := range c.paths {
		for _, op := range item.operations {
			all = append(all, op.query...)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	for _, route := range g.routes {
		path := example(template(route))
		op, _ := c.find(route.Method, path)
		for _, name := range all {
			if route.Method == http.MethodHead {
				continue // Its answers have no body to tell it by.
			}
			_, body := g.do(t, request{method: route.Method, path: path + "?" + name + "=", body: "{}"})
			if refused, known := strings.Contains(string(body), `"query.unknown"`), slices.Contains(op.query, name); refused == known {
				t.Errorf("%s %s: the contract names %s: %t; the gateway refuses it: %t", route.Method, route.Path, name, known, refused)
			}
		}
	}
}

// example fills the parameters of a path.
func example(template string) string {
	return strings.NewReplacer("{project_id}", "p", "{patient_id}", "s-1", "{record_id}", "r-1", "{image_id}", "i-1", "{upload_id}", "u-1", "{service}", "vitals", "{grant_id}", "g-1", "{sub}", "auth0%7Ca%2Fb",
		"{file}", "swagger-ui.css", "{reason}", "TIMEOUT").Replace(template)
}

const voidBody = `{"base_version":1,"reason":"wrong subject"}`

// requests is one good request per operation that has a body.
var requests = map[string]request{
	"createProject":       {body: `{"project_id":"p","title":"T"}`},
	"createSite":          {body: `{"site_id":"s1","name":"N"}`},
	"createSubject":       {body: `{"patient_id":"s-1","site_id":"s1"}`},
	"withdrawSubject":     {body: `{"withdrawal_time":"2026-06-20T14:00:00+02:00"}`},
	"createGrant":         {body: `{"sub":"a","role":"monitor","project_id":"p"}`},
	"disableAccount":      {body: `{}`},
	"takeEmergencyAccess": {body: `{"reason":"brought in unconscious"}`},
	"enableAccount":       {body: `{"reason":"back"}`},
	"recordConsent":       {body: `{"purpose":"trial","state":"CONSENT_GIVEN","form_version":"3.1","consent_time":"2026-05-11T09:10:00+02:00"}`},
	"uploadVitals":        {body: `{"measurement_time":"2026-06-01T08:30:00+02:00","heart_rate":{"beats_per_minute":64}}`},
	"amendVitals":         {body: `{"base_version":1,"reason":"misread","heart_rate":{"beats_per_minute":65},"body_weight":null}`},
	"voidVitals":          {body: voidBody},
	"amendReport":         {body: `{"base_version":1,"reason":"misread","authored_time":"2026-06-01T08:30:00Z"}`},
	"voidReport":          {body: voidBody},
	"amendMedication":     {body: `{"base_version":1,"reason":"misread","dose":{"value":2},"end_time":null}`},
	"voidMedication":      {body: voidBody},
	"submitReport":        {body: `{"questionnaire_id":"q","questionnaire_version":"1","authored_time":"2026-06-01T08:30:00Z","answers":[{"link_id":"a","integer_value":3}]}`},
	"recordMedication":    {body: `{"medication":{"system":"s:1","code":"c"},"dose":{"value":1,"ucum_unit":"mg"},"route":{"system":"s:1","code":"c"},"start_time":"2026-06-01T08:30:00Z"}`},
	"uploadImage": {body: imageBytes, header: map[string]string{
		"Content-Digest": "sha-256=:LxtsDV56mBNMvQ9qfoXZQhs8b1Dop9KRT2tcjg06cZI=:", "Content-Disposition": `attachment; filename="a.dcm"`}},
	"createUpload":      {header: map[string]string{"Tus-Resumable": "1.0.0", "Upload-Length": "14", "Upload-Metadata": "patient_id cy0x"}},
	"continueUpload":    {body: imageBytes, header: map[string]string{"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}},
	"abortUpload":       {header: map[string]string{"Tus-Resumable": "1.0.0"}},
	"uploadVitalsBatch": {body: `{"records":[{"measurement_time":"2026-06-01T08:30:00Z","heart_rate":{"beats_per_minute":64}},{"heart_rate":"64"}]}`},
}

// each sends one good request to every operation.
func (g *gateway) each(t *testing.T, f func(id string, status int, body []byte)) {
	t.Helper()
	c := shipped(t)
	for _, route := range g.routes {
		path := example(template(route))
		op, found := c.find(route.Method, path)
		if found != operationKnown {
			t.Errorf("%s %s is not in the contract", route.Method, path)
			continue
		}
		in := requests[op.id]
		in.method, in.path = route.Method, path
		if op.request != nil {
			if err := c.checkRequest(op, in.body); err != nil {
				t.Errorf("%s: the request of this test: %v", op.id, err)
			}
		}
		status, body := g.do(t, in)
		f(op.id, status, body)
	}
}

// checkRequest holds a good body against its schema, but for the batch's, which
// has a bad record on purpose.
func (c *Contract) checkRequest(op operation, body string) error {
	if op.id == "uploadVitalsBatch" {
		return nil
	}
	var value any
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		return err
	}
	return op.request.Validate(value)
}

// What the gateway answers when all goes well is what the contract says: g.do
// holds each answer against it.
func TestAnswersAreTheContracts(t *testing.T) {
	g := newGateway(t, failing(nil))
	g.each(t, func(id string, status int, body []byte) {
		want := http.StatusOK
		switch id {
		case "docs":
			want = http.StatusMovedPermanently
		case "continueUpload", "abortUpload":
			want = http.StatusNoContent
		case "createGrant", "takeEmergencyAccess", "disableAccount", "enableAccount", "createProject", "createSite", "createSubject", "withdrawSubject", "recordConsent", "uploadVitals", "uploadImage", "createUpload", "submitReport", "recordMedication":
			want = http.StatusCreated
		}
		if status != want {
			t.Errorf("%s answers %d, want %d: %s", id, status, want, body)
		}
		if id == "uploadVitalsBatch" && !strings.Contains(string(body), `"status":400`) {
			t.Errorf("the bad record of the batch was not refused: %s", body)
		}
	})
}

// Whatever a service refuses, the gateway's answer is in the contract.
func TestRefusalsAreTheContracts(t *testing.T) {
	for _, refusal := range []*fault.Error{
		fault.InvalidFields([]fault.Violation{{Field: "f", Rule: "r", Message: "m"}}),
		fault.Precondition(fault.ReasonWithdrawn, "m"),
		fault.Unauthenticated(fault.ReasonTokenInvalid, "m"),
		fault.Denied(fault.ReasonRoleForbids, "m"),
		fault.Exhausted(fault.ReasonOverloaded, "m", time.Second),
		fault.Internal(nil),
		fault.Unavailable(fault.ReasonUnavailable, "m", time.Second),
		fault.Unavailable(fault.ReasonOutcomeUnknown, "m", time.Second),
		fault.DeadlineExceeded("m"),
		fault.DataLoss(fault.ReasonCorrupt, "m"),
	} {
		t.Run(refusal.Reason, func(t *testing.T) {
			newGateway(t, failing(refusal)).each(t, func(id string, status int, body []byte) {
				if slices.Contains([]string{"healthz", "readyz", "docs", "docsFile", "explainReason", "openapi", "uploadVitalsBatch", "getUploadCapabilities"}, id) {
					return
				}
				if want := problem.Status(refusal); status != want && !strings.HasPrefix(id, "get") {
					t.Errorf("%s answers %d, want %d: %s", id, status, want, body)
				}
			})
		})
	}
}

// Records of a kind can be missing, taken or without room; projects cannot be
// missing where they are listed.
func TestRefusalsOfSomeAreTheContracts(t *testing.T) {
	c := shipped(t)
	for status, refusal := range map[int]*fault.Error{
		404: fault.NotFound(fault.ReasonSubjectNotFound, "m"),
		409: fault.Exists(fault.ReasonIDTaken, "m"),
		507: fault.Exhausted(fault.ReasonStorageFull, "m", 0),
	} {
		g := newGateway(t, failing(refusal))
		n := 0
		for _, route := range g.routes {
			path := example(template(route))
			op, _ := c.find(route.Method, path)
			if _, ok := op.responses[status]; !ok || strings.HasPrefix(path, "/docs") {
				continue
			}
			n++
			in := requests[op.id]
			in.method, in.path = route.Method, path
			if got, body := g.do(t, in); got != status {
				t.Errorf("%s answers %d, want %d: %s", op.id, got, status, body)
			}
		}
		if n < 8 {
			t.Errorf("%d: saw %d operations only", status, n)
		}
	}
}

// What the gateway refuses by itself.
func TestTheGatewaysOwnRefusals(t *testing.T) {
	g := newGateway(t, failing(nil))
	for name, c := range map[string]struct {
		request
		status int
		reason string
	}{
		"no token":        {request{method: "GET", path: "/v1/projects", header: map[string]string{"Authorization": ""}}, 401, fault.ReasonTokenMissing},
		"no such path":    {request{method: "GET", path: "/v2/projects"}, 404, fault.ReasonRouteNotFound},
		"no such method":  {request{method: "DELETE", path: "/v1/projects"}, 405, fault.ReasonMethodNotAllowed},
		"no verb":         {request{method: "POST", path: "/v1/projects/p/subjects/s-1", body: "{}"}, 405, fault.ReasonMethodNotAllowed},
		"too large":       {request{method: "POST", path: "/v1/projects", body: strings.Repeat(" ", 2<<20)}, 413, fault.ReasonBodyTooLarge},
		"a large batch":   {request{method: "POST", path: "/v1/projects/p/subjects/s-1/vitals:batch", body: strings.Repeat(" ", 9<<20)}, 413, fault.ReasonBodyTooLarge},
		"an empty batch":  {request{method: "POST", path: "/v1/projects/p/subjects/s-1/vitals:batch", body: `{"records":[]}`}, 400, fault.ReasonBodyInvalid},
		"no JSON":         {request{method: "POST", path: "/v1/projects", body: "{"}, 400, fault.ReasonBodyInvalid},
		"unknown field":   {request{method: "POST", path: "/v1/projects", body: `{"id":"p"}`}, 400, fault.ReasonFieldInvalid},
		"another project": {request{method: "POST", path: "/v1/projects/p/sites", body: `{"site_id":"s","project_id":"q"}`}, 400, fault.ReasonFieldInvalid},
		"an identifier":   {request{method: "GET", path: "/v1/projects/p/subjects/s%201"}, 400, fault.ReasonFieldInvalid},
		"no such section": {request{method: "GET", path: "/v1/projects/p?require=weather"}, 400, fault.ReasonQueryInvalid},
		"page_size":       {request{method: "GET", path: "/v1/projects?page_size=many"}, 400, fault.ReasonQueryInvalid},
		"a digest":        {request{method: "PUT", path: "/v1/projects/p/subjects/s-1/images", header: map[string]string{"Content-Digest": "sha-256=:x:"}}, 400, fault.ReasonFieldInvalid},
		"no such reason":  {request{method: "GET", path: "/docs/errors/WEATHER"}, 404, fault.ReasonRouteNotFound},
		"no such verb":    {request{method: "POST", path: "/v1/projects/p/subjects/s-1:promote", body: "{}"}, 404, fault.ReasonRouteNotFound},
		"in Chinese":      {request{method: "GET", path: "/v1/projects", header: map[string]string{"Authorization": "x", "Accept-Language": "zh"}}, 401, fault.ReasonTokenInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := g.do(t, c.request)
			var p problem.Problem
			if err := json.Unmarshal(body, &p); err != nil {
				t.Fatal(err)
			}
			if status != c.status || p.Reason != c.reason {
				t.Errorf("got %d %s, want %d %s", status, p.Reason, c.status, c.reason)
			}
		})
	}
}
