package observe

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/internal/mtls"
	vitalspb "clinsource/proto/vitals"
)

// TestOneTraceOverAllHops: gateway, service, registry and the write are one
// trace, and its id stands beside the request id in each process's log.
func TestOneTraceOverAllHops(t *testing.T) {
	a := newApp(t, "traced")
	a.want(t, 201, "POST", "/v1/projects", object{"project_id": "traced"})
	a.want(t, 201, "POST", a.path+"/sites", object{"site_id": "s1"})
	a.want(t, 201, "POST", a.path+"/subjects", object{"patient_id": "traced-1", "site_id": "s1"})
	id := a.want(t, 201, "POST", a.path+"/subjects/traced-1/vitals", vitals("traced-v1"))

	chain := []string{ // Each one's parent is the one before.
		"project-api POST /v1/projects/:project_id/subjects/:patient_id/vitals",
		"project-api vitals.VitalsService/UploadVitals",
		"vitals-rpc vitals.VitalsService/UploadVitals",
	}
	ends := []string{ // Each one is below the last of the chain.
		"vitals-rpc sql write",
		"vitals-rpc subject.SubjectResolver/ResolveSubject",
		"subject-rpc subject.SubjectResolver/ResolveSubject",
	}
	var root span
	var spans []span
	within(t, 20*time.Second, "a trace of all hops in the collector", func() bool {
		var found bool
		if root, found = theSink.root(id); !found {
			return false
		}
		spans = theSink.of(root.GetTraceId())
		for _, name := range slices.Concat(chain, ends) {
			if !slices.ContainsFunc(spans, func(s span) bool { return s.service+" "+s.GetName() == name }) {
				return false
			}
		}
		return true
	})
	byID := map[string]span{}
	for _, s := range spans {
		byID[string(s.GetSpanId())] = s
	}
	wayUp := func(s span) (names []string) {
		for ok := true; ok; s, ok = byID[string(s.GetParentSpanId())] {
			names = append([]string{s.service + " " + s.GetName()}, names...)
		}
		return names
	}
	for _, s := range spans {
		name := s.service + " " + s.GetName()
		if way := wayUp(s); slices.Contains(ends, name) && (len(way) <= len(chain) || !slices.Equal(way[:len(chain)], chain)) {
			t.Errorf("%s is reached by %s", name, strings.Join(way, " > "))
		}
	}
	traceID := hex.EncodeToString(root.GetTraceId())
	within(t, 5*time.Second, "both ids in each log line", func() bool {
		lines := 0
		for line := range strings.Lines(logs()) {
			var fields map[string]any
			if json.Unmarshal([]byte(line), &fields) == nil && fields["trace_id"] == traceID {
				if fields["request_id"] != id {
					t.Errorf("the trace's line is of another request: %s", line)
				}
				lines++
			}
		}
		return lines == 3 // Gateway, vitals-rpc, subject-rpc.
	})
}

// TestNothingOfThePatientInTraces sends marks in every place that a caller can
// fill, and looks for them in all bytes that came to the collector.
func TestNothingOfThePatientInTraces(t *testing.T) {
	const project, patient = "canary-project", "canary-patient"
	a := newApp(t, project)
	a.headers = map[string]string{
		"User-Agent": "canary-agent/1", "tracestate": "vendor=canary-state", "baggage": "who=canary-baggage",
		"traceparent":        "00-cafecafecafecafecafecafecafecafe-cafecafecafecafe-01",
		"X-Client-Record-Id": "canary-image-record", "Content-Disposition": `attachment; filename="canary-file.dcm"`,
		"Cookie": "canary=cookie", "Referer": "https://canary-referer.invalid/", "Accept-Language": "canary-language",
	}
	subject := a.path + "/subjects/" + patient
	a.want(t, 201, "POST", "/v1/projects", object{"project_id": project, "title": "canary-title"})
	a.want(t, 201, "POST", a.path+"/sites", object{"site_id": "canary-site", "name": "canary-name"})
	a.want(t, 201, "POST", a.path+"/subjects", object{"patient_id": patient, "site_id": "canary-site"})
	a.want(t, 201, "POST", subject+"/vitals", vitals("canary-vitals"))
	a.want(t, 201, "POST", subject+"/reports", object{"questionnaire_id": "canary-form", "questionnaire_version": "1.0",
		"authored_time": "2026-06-01T08:00:00+02:00", "client_record_id": "canary-report",
		"answers": []object{{"link_id": "canary-link", "integer_value": 7}}})
	a.want(t, 400, "POST", subject+"/vitals", object{"canary-field": "canary-value"})
	a.want(t, 409, "POST", subject+"/vitals", object{"client_record_id": "canary-vitals", "measurement_time": "2026-06-01T09:00:00+02:00",
		"blood_pressure": object{"systolic": 122, "diastolic": 79}})
	a.want(t, 404, "GET", a.path+"/subjects/canary-nobody/vitals", nil)
	a.want(t, 404, "GET", "/canary-path/canary-more", nil)
	a.want(t, 400, "GET", subject+"/vitals?canary-query=canary-value", nil)
	a.want(t, 200, "GET", a.path, nil)
	a.want(t, 200, "GET", subject, nil)
	var image bytes.Buffer
	if _, err := dicomfile.WriteSynthetic(&image, dicomfile.SyntheticSpec{
		PatientID: patient, StudyDate: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), StudyUID: "2.25.987654321.1", SeriesUID: "2.25.987654321.2",
		InstanceUID: "2.25.987654321.3", Rows: 16, Columns: 16, Frames: 1,
	}); err != nil {
		t.Fatal(err)
	}
	a.want(t, 201, "PUT", subject+"/images", image.Bytes())
	callDirectly(t, a.token, patient)

	last := a.want(t, 200, "GET", subject+"/vitals", nil)
	within(t, 20*time.Second, "the last request's trace", func() bool { _, ok := theSink.root(last); return ok })
	exported := bytes.ToLower(theSink.bytes())
	marks := []string{"canary", "37.7391", "987654321", "\xca\xfe\xca\xfe\xca\xfe", "bearer", "127.0.0.1", strings.ToLower(a.token[:20])}
	for _, mark := range append(marks, strings.Split(strings.ToLower(a.token), ".")...) {
		if i := bytes.Index(exported, []byte(mark)); i >= 0 {
			t.Errorf("%q is in what was exported: %q", mark, exported[max(0, i-80):min(len(exported), i+80)])
		}
	}
	if text := strings.ToLower(logs()); strings.Contains(text, "canary") {
		i := strings.Index(text, "canary")
		t.Errorf("a mark is in the logs: %q", text[max(0, i-200):min(len(text), i+80)])
	}
}

// callDirectly calls vitals-rpc as a partner does, with marks in metadata, in the
// message, and in the name of a method that there is not.
func callDirectly(t *testing.T, token, patient string) {
	t.Helper()
	certs := home + "/certs/dev/"
	files, err := mtls.NewClient(mtls.ClientFiles{ServerName: "vitals-rpc", CaFile: certs + "ca.crt", CertFile: certs + "partner.crt", KeyFile: certs + "partner.key"})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("127.0.0.1:9101", grpc.WithTransportCredentials(files.Credentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token, "x-patient", "canary-metadata",
		"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate", "vendor=canary-state", "baggage", "who=canary-baggage")
	if _, err := vitalspb.NewVitalsServiceClient(conn).ListVitals(ctx, &vitalspb.ListVitalsRequest{ProjectId: "canary-project", PatientId: patient}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := conn.Invoke(ctx, fmt.Sprintf("/canary.Service/Canary%d", i), &vitalspb.ListVitalsRequest{}, &vitalspb.ListVitalsResponse{}); err == nil {
			t.Error("a method that there is not has answered")
		}
	}
	within(t, 20*time.Second, "the partner's trace taken up", func() bool {
		trace, _ := hex.DecodeString("0af7651916cd43dd8448eb211c80319c")
		return len(theSink.of(trace)) >= 1
	})
}

// TestACollectorThatHangsSlowsNobody: with the collector taking every call and
// answering none, requests go on, and the loss shows as a metric.
func TestACollectorThatHangsSlowsNobody(t *testing.T) {
	resume := theSink.hangUp()
	defer resume()
	a := newApp(t, "hanging")
	a.want(t, 201, "POST", "/v1/projects", object{"project_id": "hanging"})
	a.want(t, 201, "POST", a.path+"/sites", object{"site_id": "s1"})
	a.want(t, 201, "POST", a.path+"/subjects", object{"patient_id": "hanging-1", "site_id": "s1"})
	for i := 0; theSink.calls() < 2 || i < 1500; i++ { // More spans than the queue holds, while exports hang.
		a.want(t, 200, "GET", a.path+"/subjects/hanging-1/vitals", nil)
	}
	within(t, 30*time.Second, "the failed exports as a metric", func() bool {
		return metric(t, 9200, "clinsource_traces_export_failures_total") > 0
	})
}
