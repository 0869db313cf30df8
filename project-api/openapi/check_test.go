package openapi

import (
	"strings"
	"sync"
	"testing"
)

const (
	problemBody = `{"type":"/docs/errors/SUBJECT_NOT_FOUND","title":"No such subject","status":404,"detail":"none","code":"NotFound",` +
		`"reason":"SUBJECT_NOT_FOUND","errors":[],"request_id":"R1"}`
	createdBody = `{"success":true,"message":"stored","record_id":"r1","version":1,"findings":[],"created":true}`
	vitalsPath  = "/v1/projects/p/subjects/s-1/vitals"
)

// section is the JSON of one section that is ok with this data.
func section(data string) string {
	return `{"state":"ok","reason":"","elapsed_ms":3,"data":` + data + `}`
}

// view is a project view whose section reports is as given.
func view(reports string) string {
	counts := `{"count":1,"subjects":1,"queried":0`
	return `{"project":{"project_id":"p"},"sections":{"subjects":` + section(`{"count":1,"withdrawn":0,"sites":1,"subjects_per_site":{"a":1}}`) +
		`,"vitals":` + section(counts+`,"blood_pressure_categories":{}}`) + `,"images":` + section(counts+`,"size":0}`) +
		`,"medications":` + section(counts+`,"ongoing":0}`) + `,"reports":` + reports + `}}`
}

func TestCheck(t *testing.T) {
	reports := section(`{"count":0,"subjects":0,"queried":0,"questionnaires":{}}`)
	for _, c := range []struct {
		name         string
		method, path string
		status       int
		contentType  string
		body         string
		fault        string // "": none.
	}{
		{"created", "POST", vitalsPath, 201, "application/json", createdBody, ""},
		{"parameters of a content type", "POST", vitalsPath, 201, "application/json; charset=utf-8", createdBody, ""},
		{"a query", "GET", vitalsPath + "?page_size=1", 200, "application/json", `{"records":[]}`, ""},
		{"a problem", "GET", vitalsPath, 404, "application/problem+json", problemBody, ""},
		{"a verb", "POST", "/v1/projects/p/subjects/s-1:withdraw", 201, "application/json", `{"created":true}`, ""},
		{"a whole view", "GET", "/v1/projects/p", 200, "application/json", view(reports), ""},
		{"a view with a section that timed out", "GET", "/v1/projects/p", 200, "application/json",
			view(`{"state":"timeout","reason":"TIMEOUT","message":"slow","elapsed_ms":2001,"data":null}`), ""},
		{"a batch", "POST", vitalsPath + ":batch", 200, "application/json",
			`{"results":[{"index":0,"status":201,"record":` + createdBody + `},{"index":1,"status":404,"problem":` + problemBody + `}]}`, ""},
		{"an image's bytes", "GET", "/v1/projects/p/subjects/s/images/i", 200, "application/dicom", "\x00DICM", ""},
		{"no such path", "GET", "/v1/nowhere", 404, "application/problem+json", problemBody, ""},
		{"no such method", "DELETE", "/v1/projects/p", 405, "application/problem+json", strings.Replace(problemBody, "404", "405", 1), ""},
		{"a HEAD", "HEAD", "/v1/projects/p", 405, "application/problem+json", "", ""},
		{"a subject without a verb", "POST", "/v1/projects/p/subjects/s", 405, "application/problem+json", strings.Replace(problemBody, "404", "405", 1), ""},

		{"a status that is not there", "GET", vitalsPath, 201, "application/json", `{}`, "no answer with status 201"},
		{"no such path, and yet a method", "GET", "/v1/nowhere", 405, "application/problem+json", strings.Replace(problemBody, "404", "405", 1), "should be 404"},
		{"no such path, and yet an answer", "GET", "/v1/nowhere", 200, "application/json", `{}`, "not in the contract"},
		{"another content type", "POST", vitalsPath, 201, "text/plain", createdBody, "content type is text/plain"},
		{"no content type", "POST", vitalsPath, 201, "", createdBody, "content type"},
		{"no JSON", "POST", vitalsPath, 201, "application/json", `{"success":`, "not JSON"},
		{"two values", "POST", vitalsPath, 201, "application/json", createdBody + createdBody, "not JSON"},
		{"a field that nobody documented", "POST", vitalsPath, 201, "application/json", strings.Replace(createdBody, "message", "massage", 1), "massage"},
		{"a list that is left out", "POST", vitalsPath, 201, "application/json", strings.Replace(createdBody, `"findings":[],`, "", 1), "findings"},
		{"a created record without its id", "POST", vitalsPath, 201, "application/json", strings.Replace(createdBody, `"record_id":"r1",`, "", 1), "record_id"},
		{"a number in a string", "POST", vitalsPath, 201, "application/json", strings.Replace(createdBody, `:1,`, `:"1",`, 1), "version"},
		{"a time without offset", "GET", "/v1/projects", 200, "application/json", `{"projects":[{"received_time":"2026-01-01T00:00:00"}]}`, "received_time"},
		{"a day that there is not", "GET", "/v1/projects", 200, "application/json", `{"projects":[{"received_time":"2026-02-30T00:00:00Z"}]}`, "received_time"},
		{"a reason that is not in the table", "GET", vitalsPath, 404, "application/problem+json", strings.Replace(problemBody, `:"SUBJECT_`, `:"SUBJ_`, 1), "reason"},
		{"a problem of another status", "GET", vitalsPath, 400, "application/problem+json", problemBody, "says status 404"},
		{"a view without a section", "GET", "/v1/projects/p", 200, "application/json", strings.Replace(view(reports), `"images"`, `"imagers"`, 1), "images"},
		{"a section that is ok without data", "GET", "/v1/projects/p", 200, "application/json", view(section("null")), "reports"},
		{"a section that failed with data", "GET", "/v1/projects/p", 200, "application/json", view(strings.Replace(reports, `"ok"`, `"failed"`, 1)), "reports"},
		{"a section with another's data", "GET", "/v1/projects/p", 200, "application/json", view(section(`{"count":1,"subjects":1,"queried":0,"size":1}`)), "reports"},
		{"a batch's record without a fate", "POST", vitalsPath + ":batch", 200, "application/json", `{"results":[{"index":0,"status":201}]}`, "record"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Check(c.method, c.path, c.status, c.contentType, []byte(c.body))
			switch {
			case c.fault == "" && err != nil:
				t.Error(err)
			case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
				t.Errorf("got %v, want an error with %q", err, c.fault)
			}
		})
	}
}

// Scenarios check answers from many goroutines.
func TestCheckAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := Check("POST", vitalsPath, 201, "application/json", []byte(createdBody)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// The template with the most literal characters counts: a verb or a batch is no
// patient or collection with a colon in its name.
func TestTheClosestTemplateCounts(t *testing.T) {
	c := shipped(t)
	for path, want := range map[string]string{
		"/v1/projects/p/subjects/a.b:withdraw":   "withdrawSubject",
		"/v1/projects/p/subjects/a/vitals:batch": "uploadVitalsBatch",
		"/v1/projects/p/subjects/a/vitals":       "uploadVitals",
		"/v1/projects/p/subjects":                "createSubject",
	} {
		if op, _ := c.find("POST", path); op.id != want {
			t.Errorf("POST %s is %s, want %s", path, op.id, want)
		}
	}
	if op, _ := c.find("GET", "/docs/errors/X"); op.id != "explainReason" {
		t.Errorf("GET /docs/errors/X is %s", op.id)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, fault := range map[string]string{
		"a: [":      "contract",
		"paths: {}": "NotFound",
		"paths: {/a: {get: {responses: {ok: {}}}}}":                                                                           "no status",
		`paths: {/a: {get: {responses: {"200": {content: {application/json: {schema: {type: 7}}}}}}}}`:                        "200",
		`paths: {/a: {get: {responses: {"200": {content: {application/json: {schema: {$ref: "#/components/schemas/B"}}}}}}}}`: "",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("Parse(%s) = %v, want an error with %q", text, err, fault)
		}
	}
}

func shipped(t *testing.T) *Contract {
	t.Helper()
	c, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	return c
}
