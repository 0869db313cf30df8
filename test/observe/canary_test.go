package observe

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/internal/auth"
)

// The marks. No log, trace, metric or refusal may hold one, in any letter case;
// an answer may give its caller back what it stored.
const (
	mark  = "zcanary7q"  // A name, an id, a text, a part of a token: wherever text goes.
	value = "61.7305318" // A measured value.
	field = "zfieldq3k"  // A name of a field or parameter: refusals say it, so that it can be found; nothing else does.
)

// canary drives the gateway and gathers what it said.
type canary struct {
	*app
	refusals map[string][]byte // By what was sent; the bodies of answers of 400 and above.
	answered map[string]bool   // Routes that have given an answer below 400.
}

// try sends one request to a route of the contract, path parameters filled in.
func (c *canary) try(t *testing.T, method, route, path string, body any, headers ...string) (status int, answer []byte) {
	t.Helper()
	a := *c.app
	a.headers = map[string]string{}
	for i := 0; i < len(headers); i += 2 {
		a.headers[headers[i]] = headers[i+1]
	}
	status, _, answer = a.send(t, method, path, body)
	if status >= 400 {
		c.refusals[fmt.Sprintf("%s %s %d (%d)", method, route, status, len(c.refusals))] = answer
	} else {
		c.answered[method+" "+route] = true
	}
	return status, answer
}

// must is try for what has to succeed; it gives a field of the answer.
func (c *canary) must(t *testing.T, method, route, path string, body any, field string, headers ...string) string {
	t.Helper()
	status, answer := c.try(t, method, route, path, body, headers...)
	if status >= 400 {
		t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	var fields map[string]any
	if field != "" {
		if err := json.Unmarshal(answer, &fields); err != nil || fields[field] == nil {
			t.Fatalf("%s %s: no %s in %s", method, path, field, answer)
		}
	}
	return fmt.Sprint(fields[field])
}

// Everything that the gateway takes is sent with marked names, values and tokens,
// and refused in every way; nothing but the answers to their owner holds a mark.
// Shows R51.
func TestSilence(t *testing.T) {
	c := &canary{app: newApp(t, mark+"-p"), refusals: map[string][]byte{}, answered: map[string]bool{}}
	c.succeed(t)
	routes := contract(t)
	for _, r := range routes {
		c.fail(t, r)
	}
	c.failOnTheWire(t)
	for _, r := range routes {
		if !c.answered[r.method+" "+r.path] {
			t.Errorf("no request to %s %s has succeeded here: add one to succeed", r.method, r.path)
		}
	}
	if len(c.refusals) < 4*len(routes) {
		t.Errorf("only %d refusals", len(c.refusals))
	}

	theirs := []string{mark, value, strings.ToLower(c.token[len(c.token)-40:])}
	for what, body := range c.refusals {
		holds(t, "the refusal "+what, string(body), theirs)
	}
	for port := 9200; port <= 9204; port++ {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		holds(t, fmt.Sprintf("the metrics on port %d", port), string(text), theirs)
	}
	last := c.want(t, 200, "GET", "/v1/projects", nil)
	theirs = append(theirs, field)
	within(t, 20*time.Second, "the last trace in the collector", func() bool { _, found := theSink.root(last); return found })
	holds(t, "the traces", string(theSink.bytes()), theirs)
	within(t, 10*time.Second, "the last request in the log", func() bool { return strings.Contains(logs(), last) })
	c.dump(t)
	holds(t, "the logs", logs(), theirs)
}

// dump has every process die with the stacks of all its goroutines, and waits
// until they are all back.
func (c *canary) dump(t *testing.T) {
	t.Helper()
	places, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range places {
		dir, _ := os.Readlink(place)
		line, _ := os.ReadFile(filepath.Dir(place) + "/cmdline") // Either may have ended meanwhile.
		program, _, _ := strings.Cut(string(line), "\x00")
		if dir == home && slices.Contains([]string{"vitals-rpc", "dicom-rpc", "epro-rpc", "subject-rpc", "project-api"}, filepath.Base(program)) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(place)))
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
				t.Fatal(err)
			}
		}
	}
	within(t, 10*time.Second, "the stacks of five processes in the logs", func() bool { return strings.Count(logs(), "SIGQUIT: quit") == 5 })
	within(t, 20*time.Second, "all sections are ok again", func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, gatewayURL+c.path+"?require=subjects,vitals,images,reports,medications", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+c.token)
		resp, err := c.http.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// holds complains of the line that holds a mark.
func holds(t *testing.T, what, text string, marks []string) {
	t.Helper()
	lower := strings.ToLower(text)
	for _, m := range marks {
		if i := strings.Index(lower, m); i >= 0 {
			from := strings.LastIndexByte(lower[:i], '\n') + 1
			t.Errorf("%s holds %q: %.300s", what, m, text[from:])
		}
	}
}

// endpoint is one method of one path of the contract.
type endpoint struct{ method, path string }

// contract gives every route of openapi.yaml.
func contract(t *testing.T) (all []endpoint) {
	t.Helper()
	text, err := os.ReadFile(root + "/project-api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var api struct {
		Paths map[string]map[string]yaml.Node `yaml:"paths"`
	}
	if err := yaml.Unmarshal(text, &api); err != nil {
		t.Fatal(err)
	}
	for path, methods := range api.Paths {
		for method := range methods {
			if method != "parameters" {
				all = append(all, endpoint{strings.ToUpper(method), path})
			}
		}
	}
	slices.SortFunc(all, func(a, b endpoint) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return all
}

var parameter = regexp.MustCompile(`\{[a-z_]+\}`)

// fail has the route refuse in each way that it may: no token, a marked token, a
// user without grants, marked ids, a marked query, bodies that are wrong.
func (c *canary) fail(t *testing.T, r endpoint) {
	t.Helper()
	stranger := *c.app
	token, err := auth.Issue(home+"/certs/dev/issuer.key", mark+"-stranger", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	stranger.token = token
	strange := &canary{app: &stranger, refusals: c.refusals, answered: map[string]bool{}}
	path := parameter.ReplaceAllString(r.path, mark)
	known := strings.Replace(strings.Replace(r.path, "{project_id}", mark+"-p", 1), "{patient_id}", mark+"-1", 1)
	known = parameter.ReplaceAllString(known, mark+"-none")
	wrong := object{field: mark, "patient_id": mark + "?", "reason": mark + "-reason", "measurement_time": mark, "client_record_id": mark + " " + mark,
		"body_weight": object{"value": json.Number(value + "e7"), "unit": mark}, "answers": mark}
	for _, try := range []struct {
		by      *canary
		path    string
		body    any
		headers []string
	}{
		{c, path, nil, []string{"Authorization", ""}},
		{c, path, nil, []string{"Authorization", "Bearer " + mark + "." + mark + "." + mark}},
		{c, path, nil, []string{"Authorization", "Basic " + mark}},
		{strange, path, wrong, nil},
		{strange, known, wrong, nil},
		{c, known + "?page_token=" + mark, nil, nil},
		{c, known + "?require=" + mark, nil, nil},
		{c, known, wrong, []string{"X-Request-Id", mark + " " + mark, "Accept-Language", mark, "Cookie", mark, "Content-Type", mark}},
		{c, known, []byte(`{"title":"` + mark + `","` + value), nil},
		{c, known, []byte(mark), []string{"Content-Encoding", "gzip"}},
		{c, known, []byte(mark), []string{"Content-Encoding", mark}},
	} {
		if r.method == http.MethodGet || r.method == http.MethodHead || r.method == http.MethodOptions || r.method == http.MethodDelete {
			try.body = nil
		}
		try.by.try(t, r.method, r.path, try.path, try.body, try.headers...)
	}
}

// failOnTheWire sends what no route is reached by.
func (c *canary) failOnTheWire(t *testing.T) {
	t.Helper()
	big := append(append([]byte(`{"title":"`), bytes.Repeat([]byte(mark), 1<<18)...), `"}`...)
	for _, try := range []struct {
		method, path string
		body         any
	}{
		{"POST", "/v1/projects", big},
		{"GET", "/" + mark + "/" + mark, nil},
		{"GET", "/v1/projects/" + mark + "%2F" + mark, nil},
		{"GET", "/v1/projects/../" + mark, nil},
		{"TRACE", "/v1/projects/" + mark, nil},
		{"GET", "/v1/projects?" + field + "=" + mark, nil},
	} {
		c.try(t, try.method, "none", try.path, try.body)
	}
}

// succeed sends to every route something that it takes.
func (c *canary) succeed(t *testing.T) {
	t.Helper()
	const projects, project, subject = "/v1/projects", "/v1/projects/{project_id}", "/v1/projects/{project_id}/subjects/{patient_id}"
	for _, open := range []string{"/healthz", "/readyz", "/openapi.yaml", "/docs"} {
		c.must(t, "GET", open, open, nil, "")
	}
	c.must(t, "GET", "/docs/{file}", "/docs/swagger-ui.css", nil, "")
	c.must(t, "GET", "/docs/errors/{reason}", "/docs/errors/NO_GRANT", nil, "")

	c.must(t, "POST", projects, projects, object{"project_id": mark + "-p", "title": mark + " title"}, "")
	c.must(t, "POST", project+"/sites", c.path+"/sites", object{"site_id": mark + "-s", "name": mark + " site"}, "")
	for _, id := range []string{"-1", "-2"} {
		c.must(t, "POST", project+"/subjects", c.path+"/subjects", object{"patient_id": mark + id, "site_id": mark + "-s"}, "")
	}
	own := c.path + "/subjects/" + mark + "-1"
	vitals := object{"client_record_id": mark + "-v", "measurement_time": "2026-06-01T08:00:00+02:00",
		"body_weight": object{"value": json.Number(value), "unit": "KILOGRAM"}}
	consents := object{"purpose": "trial", "state": "CONSENT_GIVEN", "form_version": mark, "consent_time": "2026-05-01T08:00:00Z"}
	c.must(t, "POST", subject+"/consents", own+"/consents", consents, "")
	weight := c.must(t, "POST", subject+"/vitals", own+"/vitals", vitals, "record_id")
	c.must(t, "POST", subject+"/vitals:batch", own+"/vitals:batch", object{"records": []object{vitals, {"client_record_id": mark, "heart_rate": mark}}}, "")
	report := c.must(t, "POST", subject+"/reports", own+"/reports", object{"client_record_id": mark + "-r", "questionnaire_id": mark, "questionnaire_version": "1",
		"authored_time": "2026-06-01T08:00:00+02:00", "answers": []object{{"link_id": mark, "text_value": "Frau " + mark + " sagt " + value}}}, "record_id")
	tablet := c.must(t, "POST", subject+"/medications", own+"/medications", medication(), "record_id")
	c.correct(t, subject+"/vitals", own+"/vitals", weight, object{"body_weight": object{"value": json.Number(value + "4")}})
	c.correct(t, subject+"/reports", own+"/reports", report, object{"answers": []object{{"link_id": mark, "text_value": mark + " " + value}}})
	c.access(t)
	c.correct(t, subject+"/medications", own+"/medications", tablet, object{"medication": object{"system": "urn:x", "code": mark}})

	var image bytes.Buffer
	if _, err := dicomfile.WriteSynthetic(&image, dicomfile.SyntheticSpec{PatientID: mark + "-1", Rows: 16, Columns: 16}); err != nil {
		t.Fatal(err)
	}
	id := c.must(t, "PUT", subject+"/images", own+"/images", image.Bytes(), "image_id", "Content-Type", "application/dicom")
	c.must(t, "GET", subject+"/images/{image_id}", own+"/images/"+id, nil, "")
	c.tus(t)

	for _, route := range []string{projects, project, project + "/sites", project + "/subjects", subject,
		subject + "/consents", subject + "/vitals", subject + "/images", subject + "/reports", subject + "/medications"} {
		c.must(t, "GET", route, strings.NewReplacer("{project_id}", mark+"-p", "{patient_id}", mark+"-1").Replace(route), nil, "")
	}
	c.must(t, "POST", subject+":withdraw", c.path+"/subjects/"+mark+"-2:withdraw",
		object{"withdrawal_time": "2026-06-02T08:00:00Z", "reason": mark + " moved away"}, "")
}

// correct goes through all that can be done to a stored record, and is refused
// once.
func (c *canary) correct(t *testing.T, pattern, path, id string, patch object) {
	t.Helper()
	patch["base_version"], patch["reason"] = 1, mark+" misread "+value
	c.must(t, "PATCH", pattern+"/{record_id}", path+"/"+id, patch, "")
	patch["reason"] = mark + " once more"
	c.try(t, "PATCH", pattern+"/{record_id}", path+"/"+id, patch)
	c.must(t, "POST", pattern+"/{record_id}:void", path+"/"+id+":void", object{"base_version": 2, "reason": mark + " is somebody else"}, "")
	c.must(t, "GET", pattern+"/{record_id}/versions", path+"/"+id+"/versions", nil, "")
}

// access grants, revokes, disables and enables, reads the audit log, and opens the
// project in an emergency.
func (c *canary) access(t *testing.T) {
	t.Helper()
	const grants, account = "/v1/grants", "/v1/accounts/{sub}:"
	status, answer := c.try(t, "POST", grants, grants, object{"sub": mark + "|nurse", "role": "monitor", "project_id": mark + "-p"})
	var made struct {
		Grant struct {
			ID string `json:"grant_id"`
		} `json:"grant"`
	}
	if err := json.Unmarshal(answer, &made); err != nil || status != http.StatusCreated {
		t.Fatalf("grant: %d %s", status, answer)
	}
	c.must(t, "GET", grants, grants+"?project_id="+mark+"-p", nil, "")
	c.must(t, "DELETE", grants+"/{grant_id}", grants+"/"+made.Grant.ID, nil, "")
	for _, verb := range []string{"disable", "enable"} {
		c.must(t, "POST", account+verb, "/v1/accounts/"+mark+"%7Cnurse:"+verb, object{"reason": mark + " has left"}, "")
	}
	token, err := auth.Issue(home+"/certs/dev/issuer.key", mark+"-nurse", []auth.Grant{{Role: auth.Coordinator, Project: mark + "-p", Sites: []string{mark + "-s"}}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	nurse := &canary{app: &app{token: token, path: c.path, http: c.http}, refusals: c.refusals, answered: c.answered}
	for _, service := range []string{"vitals", "subject"} {
		c.must(t, "GET", "/v1/projects/{project_id}/audit/{service}", c.path+"/audit/"+service, nil, "")
		c.must(t, "GET", "/v1/audit/{service}", "/v1/audit/"+service, nil, "")
	}
	nurse.must(t, "POST", "/v1/projects/{project_id}/emergency-access", c.path+"/emergency-access", object{"reason": mark + " was brought in unconscious"}, "")
}

func medication() object {
	return object{"client_record_id": mark + "-m", "medication": object{"system": "http://www.whocc.no/atc", "code": "C07AB02", "display": mark},
		"dose": object{"value": json.Number("47.5"), "ucum_unit": "mg"}, "route": object{"system": "http://snomed.info/sct", "code": "26643006"},
		"start_time": "2026-06-01T08:00:00+02:00"}
}

// tus goes through a resumable upload, and gives one up.
func (c *canary) tus(t *testing.T) {
	t.Helper()
	const uploads, upload = "/v1/uploads", "/v1/uploads/{upload_id}"
	c.must(t, "OPTIONS", uploads, uploads, nil, "")
	for range 2 {
		about := "patient_id " + base64Of(mark+"-1") + ",filename " + base64Of(mark+".dcm")
		place := c.place(t, about)
		c.must(t, "HEAD", upload, place, nil, "", "Tus-Resumable", "1.0.0")
		c.try(t, "PATCH", upload, place, bytes.Repeat([]byte(mark), 10), "Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
		c.must(t, "DELETE", upload, place, nil, "", "Tus-Resumable", "1.0.0")
	}
}

// place creates a resumable upload and gives its path.
func (c *canary) place(t *testing.T, about string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, gatewayURL+"/v1/uploads", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Authorization": "Bearer " + c.token, "Tus-Resumable": "1.0.0", "Upload-Length": "100", "Upload-Metadata": about} {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("create an upload: %d", resp.StatusCode)
	}
	c.answered["POST /v1/uploads"] = true
	return resp.Header.Get("Location")
}

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
