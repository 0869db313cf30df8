package scenario

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"clinsource/dicom-rpc/dicomfile"
	dicompb "clinsource/proto/dicom"
	epropb "clinsource/proto/epro"
	vitalspb "clinsource/proto/vitals"
)

// rights is who may do what, as issue and DESIGN 7 say: for each caller and route
// the status of a valid request about a subject of the first site. A batch has
// the status of its one record. (s1) is confined to the first site, "set-up" is
// an admin whose token names no project.
const rights = `
                    set-up admin investigator coordinator coordinator(s1) data-manager monitor monitor(s1) partner device patient
POST /v1/projects     201   201      403          403           403            403        403       403       403     403    403
GET  /v1/projects     200   200      200          200           200            200        200       200       200     200    200
GET  P                403   200      200          200           200            200        200       200       200     403    200
POST P/sites          201   201      201          201           403            403        403       403       403     403    403
GET  P/sites          200   200      200          200           200            200        200       200       200     403    403
POST P/subjects       201   201      201          201           201            403        403       403       403     403    403
GET  P/subjects       200   200      200          200           200            200        200       200       200     403    403
GET  S                403   200      200          200           200            200        200       200       200     403    200
POST S/vitals         403   201      201          201           201            403        403       403       403     201    201
GET  S/vitals         403   200      200          200           200            200        200       200       200     403    200
POST S/vitals:batch   403   201      201          201           201            403        403       403       403     201    201
PUT  S/images         403   201      201          201           201            403        403       403       403     201    403
POST /v1/uploads      403   201      201          201           201            403        403       403       403     201    403
GET  S/images         403   200      200          200           200            200        200       200       200     403    403
GET  S/images/I       403   200      200          200           200            200        200       200       200     403    403
POST S/reports        403   201      201          201           201            403        403       403       403     403    201
GET  S/reports        403   200      200          200           200            200        200       200       200     403    200
POST S/medications    403   201      201          201           201            403        403       403       403     403    403
GET  S/medications    403   200      200          200           200            200        200       200       200     403    403
POST S:withdraw       201   201      201          201           201            403        403       403       403     403    403
`

// rightsTable gives the callers and, by route, the wanted status of each.
func rightsTable(t *testing.T) (callers, routes []string, want map[string][]string) {
	t.Helper()
	lines := strings.Split(strings.Trim(rights, "\n"), "\n")
	callers, want = strings.Fields(lines[0]), map[string][]string{}
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		route := cells[0] + " " + cells[1]
		routes, want[route] = append(routes, route), cells[2:]
		if len(cells) != len(callers)+2 {
			t.Fatalf("%s has %d cells", route, len(cells))
		}
	}
	return callers, routes, want
}

// caller makes the token of a column of the table.
func (w *world) caller(t *testing.T, column, patient string) *api {
	t.Helper()
	role, confined := strings.CutSuffix(column, "(s1)")
	switch {
	case column == "set-up":
		return as(t, "--role", "admin")
	case confined:
		return w.as(t, role, "--site", "s1")
	case role == "patient":
		return w.as(t, role, "--patient", patient)
	}
	return w.as(t, role)
}

// image makes the bytes of a small image of a patient.
func image(t *testing.T, patient string) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := dicomfile.WriteSynthetic(&out, dicomfile.SyntheticSpec{PatientID: patient, Rows: 8, Columns: 8}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// fresh gives an identifier that nobody has.
func fresh(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()[:12]) }

// subjectOf is one subject with one record of each kind.
type subjectOf struct {
	w                     *world
	site, id, path, image string
}

func (w *world) full(t *testing.T, site string) subjectOf {
	t.Helper()
	s := subjectOf{w: w, site: site}
	s.id, s.path = w.subject(t, site)
	for _, kind := range []string{"vitals", "reports", "medications"} {
		w.admin.post(t, s.path+"/"+kind, s.body("POST S/"+kind)).want(t, 201)
	}
	stored := w.admin.send(t, http.MethodPut, s.path+"/images", bytes.NewReader(image(t, s.id))).want(t, 201)
	s.image = stored["image_id"].(string)
	return s
}

// body is a valid request of a route, new each time.
func (s subjectOf) body(route string) object {
	vitals := object{"client_record_id": fresh("v"), "measurement_time": "2026-05-01T08:00:00Z", "heart_rate": object{"beats_per_minute": 70}}
	code := object{"system": "http://example.org/codes", "code": "x"}
	switch route {
	case "POST /v1/projects":
		return object{"project_id": fresh("p")}
	case "POST P/sites":
		return object{"site_id": fresh("site")}
	case "POST P/subjects":
		return object{"patient_id": fresh("s"), "site_id": s.site}
	case "POST S/vitals":
		return vitals
	case "POST S/vitals:batch":
		return object{"records": []object{vitals}}
	case "POST S/reports":
		return object{"client_record_id": fresh("r"), "questionnaire_id": "q", "questionnaire_version": "1",
			"authored_time": "2026-05-01T08:00:00Z", "answers": []object{{"link_id": "1", "boolean_value": true}}}
	case "POST S/medications":
		return object{"client_record_id": fresh("m"), "medication": code, "route": code, "dose": object{"value": 1, "ucum_unit": "mg"},
			"start_time": "2026-05-01T08:00:00Z"}
	case "POST S:withdraw":
		return object{"withdrawal_time": time.Now().UTC().Format(time.RFC3339)}
	}
	return nil
}

// try sends a valid request of a route about the subject.
func (s subjectOf) try(t *testing.T, a *api, route string) reply {
	t.Helper()
	method, pattern, _ := strings.Cut(route, " ")
	var path string
	switch head := pattern[:1]; head {
	case "P":
		path = s.w.path + pattern[1:]
	case "S":
		path = s.path + strings.Replace(pattern[1:], "/I", "/"+s.image, 1)
	default:
		path = pattern
	}
	if method == http.MethodPut {
		return a.send(t, method, path, bytes.NewReader(image(t, s.id)))
	}
	if route == "POST /v1/uploads" { // The same by tus, in one request.
		data := image(t, s.id)
		return a.send(t, method, path, bytes.NewReader(data), "Tus-Resumable", "1.0.0", "Upload-Length", fmt.Sprint(len(data)),
			"Content-Type", "application/offset+octet-stream", "Upload-Metadata", "patient_id "+base64Of(s.id)+",project_id "+base64Of(s.w.project))
	}
	if body := s.body(route); body != nil {
		return a.post(t, path, body)
	}
	return a.send(t, method, path, nil)
}

// statusOf is the status of an answer; of a batch, that of its one record.
func statusOf(t *testing.T, route string, r reply) string {
	t.Helper()
	if strings.HasSuffix(route, ":batch") && r.status == 200 {
		results := r.object(t)["results"].([]any)
		return fmt.Sprint(results[0].(object)["status"])
	}
	if r.status >= 400 {
		r.problem(t)
	}
	return fmt.Sprint(r.status)
}

// Each role may do in its own project what the table says, and nothing else.
// Shows R20.
func TestRolesByRoute(t *testing.T) {
	callers, routes, want := rightsTable(t)
	w := newWorld(t)
	for i, column := range callers {
		t.Run(column, func(t *testing.T) {
			s := w.full(t, "s1")
			a := w.caller(t, column, s.id)
			for _, route := range routes {
				r := s.try(t, a, route)
				if got := statusOf(t, route, r); got != want[route][i] {
					t.Errorf("%s: status %s, want %s: %.300s", route, got, want[route][i], r.body)
				}
			}
		})
	}
}

// In a project that the token does not name nothing is answered but 403, whatever
// is asked, and whether the project exists or not.
func TestOtherProjectIsForbidden(t *testing.T) {
	callers, routes, _ := rightsTable(t)
	own, other := newWorld(t), newWorld(t)
	there := other.full(t, "s1")
	nowhere := there
	nowhere.w = &world{project: fresh("p")}
	nowhere.w.path = "/v1/projects/" + nowhere.w.project
	nowhere.path = nowhere.w.path + "/subjects/" + there.id
	before := other.admin.get(t, other.path).want(t, 200)
	for _, column := range callers[1:] {
		t.Run(column, func(t *testing.T) {
			a := own.caller(t, column, there.id)
			for _, route := range routes {
				if strings.Contains(route, "/v1/projects") {
					continue
				}
				for where, s := range map[string]subjectOf{"another project": there, "no project": nowhere} {
					r := s.try(t, a, route)
					if r.status != 403 || r.problem(t) != "NO_GRANT" {
						t.Errorf("%s in %s: status %d: %.200s", route, where, r.status, r.body)
					}
				}
			}
			for _, item := range a.get(t, "/v1/projects").want(t, 200)["projects"].([]any) {
				if id := item.(object)["project_id"]; id != own.project {
					t.Errorf("the list of projects holds %v", id)
				}
			}
		})
	}
	if after := other.admin.get(t, other.path).want(t, 200); counts(after) != counts(before) {
		t.Errorf("the project has changed: %s, it was %s", counts(after), counts(before))
	}
}

// counts tells the counts of a view's sections, "-" for those that are not ok.
func counts(view object) string {
	var list []string
	for _, name := range []string{"subjects", "vitals", "images", "reports", "medications"} {
		data, ok := view["sections"].(object)[name].(object)["data"].(object)
		if !ok {
			list = append(list, "-")
			continue
		}
		list = append(list, fmt.Sprint(data["count"]))
	}
	return strings.Join(list, " ")
}

// Who is confined to a site sees the other one's subjects nowhere: not by name,
// not in a list, not in a count.
// Shows R20.
func TestSitesAreApart(t *testing.T) {
	_, routes, _ := rightsTable(t)
	w := newWorld(t)
	here, there := w.full(t, "s1"), w.full(t, "s2")
	for _, role := range []string{"coordinator", "monitor", "investigator"} {
		t.Run(role, func(t *testing.T) {
			a := w.as(t, role, "--site", "s1")
			for _, route := range routes {
				if !strings.Contains(route, " S") {
					continue
				}
				r := there.try(t, a, route)
				want := "404" // Of the role, not of the subject, is told what the role forbids.
				if role == "monitor" && !strings.HasPrefix(route, "GET") {
					want = "403"
				}
				if got := statusOf(t, route, r); got != want {
					t.Errorf("%s of the other site's subject: status %s, want %s: %.200s", route, got, want, r.body)
				}
				checkUnseen(t, a, here, there, route, r)
			}
			if got := counts(a.get(t, w.path).want(t, 200)); got != "1 1 1 1 1" {
				t.Errorf("the project view counts %s, want one of each", got)
			}
			checkListed(t, a, w.path+"/subjects", "subjects", "patient_id", here.id)
			checkListed(t, a, w.path+"/sites", "sites", "site_id", "s1")
			if r := a.get(t, here.path+"/images/"+there.image); r.status != 404 {
				t.Errorf("the other site's image under a subject of this one: status %d", r.status)
			}
		})
	}
	coordinator := w.as(t, "coordinator", "--site", "s1")
	if r := coordinator.post(t, w.path+"/subjects", object{"patient_id": fresh("s"), "site_id": "s2"}); r.status != 404 || r.problem(t) != "SITE_NOT_FOUND" {
		t.Errorf("enrolling at the other site: status %d: %s", r.status, r.body)
	}
	both := w.as(t, "monitor", "--site", "s1,s2")
	if got := counts(both.get(t, w.path).want(t, 200)); got != "2 2 2 2 2" {
		t.Errorf("with both sites the project view counts %s", got)
	}
	if got := counts(w.admin.get(t, there.path).want(t, 200)); got != "1 1 1 1 1" {
		t.Errorf("the other site's subject has changed: %s", got)
	}
}

// checkUnseen checks that a subject who may not be seen is answered like one
// that there is not.
func checkUnseen(t *testing.T, a *api, here, there subjectOf, route string, seen reply) {
	t.Helper()
	nobody := there
	nobody.id, nobody.path = "nobody-here", here.w.path+"/subjects/nobody-here"
	unknown := nobody.try(t, a, route)
	if unknown.status >= 400 {
		one, two := seen.object(t), unknown.object(t)
		delete(one, "request_id")
		delete(two, "request_id")
		if fmt.Sprint(one) != fmt.Sprint(two) {
			t.Errorf("%s tells a subject of another site from none:\n%v\n%v", route, one, two)
		}
	}
}

func checkListed(t *testing.T, a *api, path, key, field string, want ...string) {
	t.Helper()
	var got []string
	for _, item := range pages(t, a, path, key, 1) {
		got = append(got, fmt.Sprint(item[field]))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s lists %v, want %v", key, got, want)
	}
}

// A patient sees and writes their own vitals and reports, and of others nothing.
func TestPatientsSeeThemselves(t *testing.T) {
	_, routes, _ := rightsTable(t)
	w := newWorld(t)
	self, other := w.full(t, "s1"), w.full(t, "s1")
	a := w.as(t, "patient", "--patient", self.id)
	for _, route := range routes {
		if !strings.Contains(route, " S") {
			continue
		}
		r := other.try(t, a, route)
		if got := statusOf(t, route, r); got != "403" && got != "404" {
			t.Errorf("%s of another patient: status %s: %.300s", route, got, r.body)
		}
		checkUnseen(t, a, self, other, route, r)
	}
	for path, want := range map[string]string{w.path: "- 1 - 1 -", self.path: "- 1 - 1 -"} {
		view := a.get(t, path).want(t, 200)
		if got := counts(view); got != want {
			t.Errorf("the patient's view counts %s, want %s", got, want)
		}
	}
}

// An admin who sets up projects reads no clinical data, in no answer.
func TestSetUpReadsNoClinicalData(t *testing.T) {
	w := newWorld(t)
	s := w.full(t, "s1")
	a := as(t, "--role", "admin")
	for _, path := range []string{w.path, s.path} {
		r := a.get(t, path)
		if r.status == 200 {
			if got := strings.SplitN(counts(r.object(t)), " ", 2)[1]; got != "- - - -" {
				t.Errorf("the view holds clinical counts: %s", got)
			}
		} else if r.want(t, 403); r.problem(t) == "" {
			t.Error("no reason")
		}
	}
}

// partner asks the services as a partner does: certificate, and token.
type partner struct {
	vitals vitalspb.VitalsServiceClient
	images dicompb.DicomServiceClient
	epro   epropb.EproServiceClient
}

// calls are what names a patient or an image over gRPC.
func (p partner) calls(s subjectOf) map[string]func(ctx context.Context, project string) error {
	return map[string]func(ctx context.Context, project string) error{
		"ListVitals": func(ctx context.Context, project string) error {
			_, err := p.vitals.ListVitals(ctx, &vitalspb.ListVitalsRequest{PatientId: s.id, ProjectId: project})
			return err
		},
		"ListImages": func(ctx context.Context, project string) error {
			_, err := p.images.ListImages(ctx, &dicompb.ListImagesRequest{PatientId: s.id, ProjectId: project})
			return err
		},
		"DownloadDicom": func(ctx context.Context, project string) error {
			stream, err := p.images.DownloadDicom(ctx, &dicompb.DownloadDicomRequest{ImageId: s.image, ProjectId: project})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
		"GetPatientReports": func(ctx context.Context, project string) error {
			_, err := p.epro.GetPatientReports(ctx, &epropb.GetPatientReportsRequest{PatientId: s.id, ProjectId: project})
			return err
		},
	}
}

// writes are what a partner who writes would call; the role decides.
func (p partner) writes(s subjectOf, picture []byte) map[string]func(ctx context.Context, project string) error {
	return map[string]func(ctx context.Context, project string) error{
		"UploadVitals": func(ctx context.Context, project string) error {
			_, err := p.vitals.UploadVitals(ctx, &vitalspb.UploadVitalsRequest{PatientId: s.id, ProjectId: project,
				SourceTimeText: "2026-05-01T08:00:00Z", HeartRate: &vitalspb.HeartRate{BeatsPerMinute: 71}})
			return err
		},
		"SubmitReport": func(ctx context.Context, project string) error {
			_, err := p.epro.SubmitReport(ctx, &epropb.SubmitReportRequest{PatientId: s.id, ProjectId: project, QuestionnaireId: "q", QuestionnaireVersion: "1",
				SourceTimeText: "2026-05-01T08:00:00Z", Answers: []*epropb.Answer{{LinkId: "1", Value: &epropb.Answer_BooleanValue{BooleanValue: true}}}})
			return err
		},
		"UploadDicom": func(ctx context.Context, project string) error {
			stream, err := p.images.UploadDicom(ctx)
			if err != nil {
				return err
			}
			info := &dicompb.FileInfo{FileType: "dcm", PatientId: s.id, ProjectId: project}
			err = stream.Send(&dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Info{Info: info}})
			if err == nil {
				err = stream.Send(&dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Chunk{Chunk: picture}})
			}
			if err != nil && !errors.Is(err, io.EOF) { // io.EOF: the answer has come already.
				return err
			}
			_, err = stream.CloseAndRecv()
			return err
		},
	}
}

// Over gRPC another project's patient is NotFound where only the patient is
// named, and PermissionDenied where the project is.
func TestPartnerAndOtherProjects(t *testing.T) {
	own, other := newWorld(t), newWorld(t)
	mine, theirs := own.full(t, "s1"), other.full(t, "s1")
	p := partner{
		vitals: vitalspb.NewVitalsServiceClient(dial(t, "vitals-rpc", addressOf["vitals-rpc"], "partner")),
		images: dicompb.NewDicomServiceClient(dial(t, "dicom-rpc", addressOf["dicom-rpc"], "partner")),
		epro:   epropb.NewEproServiceClient(dial(t, "epro-rpc", addressOf["epro-rpc"], "partner")),
	}
	reader := authorized(deadline(t, 30*time.Second), token(t, "--role", "partner", "--project", own.project))
	writer := authorized(deadline(t, 30*time.Second), token(t, "--role", "investigator", "--project", own.project))
	check := func(what string, err error, want codes.Code) {
		t.Helper()
		if status.Code(err) != want {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	picture := image(t, theirs.id)
	for name, call := range p.calls(mine) {
		check(name+" of the own patient", call(reader, ""), codes.OK)
		check(name+" of the own patient, project named", call(reader, own.project), codes.OK)
	}
	for name, call := range p.calls(theirs) {
		check(name+" of another project's patient", call(reader, ""), codes.NotFound)
		check(name+" of another project's patient, that project named", call(reader, other.project), codes.PermissionDenied)
		check(name+" of another project's patient, the own project named", call(reader, own.project), codes.NotFound)
		check(name+" with a project that is not there", call(reader, fresh("p")), codes.PermissionDenied)
	}
	for name, call := range p.writes(theirs, picture) {
		check(name+" for another project's patient", call(writer, ""), codes.NotFound)
		check(name+" for another project's patient, that project named", call(writer, other.project), codes.PermissionDenied)
		check(name+" for another project's patient, the own project named", call(writer, own.project), codes.NotFound)
	}
	for name, call := range p.writes(mine, image(t, mine.id)) {
		check(name+" by a role that only reads", call(reader, ""), codes.PermissionDenied)
		check(name+" by a role that only reads, project named", call(reader, own.project), codes.PermissionDenied)
		check(name+" for the own patient", call(writer, ""), codes.OK)
	}
	if got := counts(other.admin.get(t, theirs.path).want(t, 200)); got != "1 1 1 1 1" {
		t.Errorf("another project's patient has changed: %s", got)
	}
}
