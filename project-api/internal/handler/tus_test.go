package handler_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx/logtest"
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
	dicompb "clinsource/proto/dicom"
)

// gateway is one gateway process's handlers, before a shelf.
type gateway struct {
	server *httptest.Server
	http   *http.Client
	token  string
}

// keys are the development issuer's, for all gateways of a test.
func keys(t *testing.T) (dir string, gate *limits.Gate) {
	t.Helper()
	dir = t.TempDir()
	if _, err := devcert.Ensure(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.NewVerifier(auth.Config{{Issuer: auth.DevIssuer, Audience: auth.DevAudience, JwksFile: filepath.Join(dir, "issuer.jwks.json")}})
	if err != nil {
		t.Fatal(err)
	}
	if gate, err = limits.New(limits.Config{}, verifier); err != nil {
		t.Fatal(err)
	}
	return dir, gate
}

// bothProtocols runs a test over HTTP/1.1 and HTTP/2: how a body ends early, and
// how that is told, differs.
func bothProtocols(t *testing.T, test func(t *testing.T, with func(*gateway) *gateway)) {
	t.Run("HTTP/2", func(t *testing.T) { test(t, func(g *gateway) *gateway { return g }) })
	t.Run("HTTP/1.1", func(t *testing.T) {
		test(t, func(g *gateway) *gateway {
			transport := g.server.Client().Transport.(*http.Transport).Clone()
			transport.ForceAttemptHTTP2, transport.TLSClientConfig.NextProtos = false, []string{"http/1.1"}
			transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
			t.Cleanup(transport.CloseIdleConnections)
			g.http = &http.Client{Transport: transport}
			return g
		})
	})
}

// gateways starts n gateways that share nothing but the shelf behind them.
func gateways(t *testing.T, s *shelf, n int, idle time.Duration) []*gateway {
	t.Helper()
	dir, gate := keys(t)
	token, err := auth.Issue(filepath.Join(dir, "issuer.key"), "tester", []auth.Grant{{Role: auth.Device, Project: "p"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]*gateway, n)
	for i := range all {
		soon := 10 * time.Second
		svcCtx := &svc.ServiceContext{Gate: gate, Accounts: auth.AccountSourceFunc(func(context.Context, string, string) (auth.Account, error) { return auth.Account{}, nil }), DicomRpc: s.client(t), Budgets: config.Budgets{
			Images: soon, Write: soon, Idle: idle, Commit: soon, Request: 2 * soon,
		}}
		server := serve(t, svcCtx)
		all[i] = &gateway{server: server, http: server.Client(), token: token}
	}
	return all
}

func newGateway(t *testing.T, s *shelf) *gateway { return gateways(t, s, 1, 10*time.Second)[0] }

func serve(t *testing.T, svcCtx *svc.ServiceContext) *httptest.Server {
	t.Helper()
	server, err := rest.NewServer(rest.RestConf{})
	if err != nil {
		t.Fatal(err)
	}
	handler.Register(server, svcCtx, handler.Pages{})
	r := router.NewRouter()
	r.SetNotFoundHandler(handler.NotFound())
	r.SetNotAllowedHandler(handler.NotAllowed())
	for _, route := range server.Routes() {
		if err := r.Handle(route.Method, route.Path, route.Handler); err != nil {
			t.Fatal(err)
		}
	}
	listening := httptest.NewUnstartedServer(handler.Edge(r))
	listening.EnableHTTP2 = true
	listening.StartTLS()
	t.Cleanup(listening.Close)
	return listening
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) problem(t *testing.T) problem.Problem {
	t.Helper()
	var p problem.Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("no problem document: %d %s %q", a.status, a.header, a.body)
	}
	return p
}

// text says whether the answer is one of the protocol's own.
func (a answer) text(status int, code string) bool {
	return a.status == status && strings.HasPrefix(a.body, code+":") && strings.HasPrefix(a.header.Get("Content-Type"), "text/plain")
}

// send makes a request of the protocol; header are names and values in turn, and
// an empty value takes a header away.
func (g *gateway) send(t *testing.T, method, path string, body io.Reader, header ...string) answer {
	t.Helper()
	a, err := g.try(t.Context(), method, path, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (g *gateway) try(ctx context.Context, method, path string, body io.Reader, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, g.server.URL+path, body)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+g.token)
	req.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i+1 < len(header); i += 2 {
		if req.Header.Set(header[i], header[i+1]); header[i+1] == "" {
			req.Header.Del(header[i])
		}
	}
	resp, err := g.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(data)}, err
}

// create begins an upload and gives its path.
func (g *gateway) create(t *testing.T, size int, pairs ...string) string {
	t.Helper()
	a := g.send(t, "POST", "/v1/uploads/", nil, "Upload-Length", strconv.Itoa(size), "Upload-Metadata", metadataOf(pairs...))
	if a.status != 201 {
		t.Fatalf("create: %d %s", a.status, a.body)
	}
	return a.header.Get("Location")
}

func (g *gateway) patch(t *testing.T, path string, offset int, data []byte, header ...string) answer {
	t.Helper()
	header = append([]string{"Upload-Offset", strconv.Itoa(offset), "Content-Type", "application/offset+octet-stream"}, header...)
	return g.send(t, "PATCH", path, bytes.NewReader(data), header...)
}

func metadataOf(pairs ...string) string {
	var all []string
	for i := 0; i+1 < len(pairs); i += 2 {
		all = append(all, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(all, ",")
}

func noise(n int) []byte {
	data := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(data)
	return data
}

func idOf(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// An upload whose pieces come by two gateways in turn is whole, and the answer to
// its last piece names the image.
func TestTusTwoGatewaysInTurn(t *testing.T) {
	s := &shelf{}
	two := gateways(t, s, 2, 10*time.Second)
	data := noise(1<<20 + 17)
	path := two[0].create(t, len(data), "filename", "scan.dcm", "filetype", "application/dicom", "patient_id", "s-1", "project_id", "p", "relativePath", "a/b")
	if !strings.HasPrefix(path, "/v1/uploads/") {
		t.Fatalf("Location: %s", path)
	}
	for offset, i := 0, 0; offset < len(data); i++ {
		g, end := two[i%2], min(offset+300_000, len(data))
		head := g.send(t, "HEAD", path, nil)
		if head.status != 200 || head.header.Get("Upload-Offset") != strconv.Itoa(offset) || head.header.Get("Upload-Length") != strconv.Itoa(len(data)) ||
			head.header.Get("Upload-Expires") != "Mon, 03 Feb 2031 04:05:06 GMT" || head.header.Get("Cache-Control") != "no-store" ||
			!strings.Contains(head.header.Get("Upload-Metadata"), metadataOf("filename", "scan.dcm")) {
			t.Fatalf("HEAD at %d: %d %v", offset, head.status, head.header)
		}
		a := g.patch(t, path, offset, data[offset:end])
		offset = end
		if a.status != 204 || a.header.Get("Upload-Offset") != strconv.Itoa(offset) || a.header.Get("Tus-Resumable") != "1.0.0" {
			t.Fatalf("PATCH to %d: %d %v %s", offset, a.status, a.header, a.body)
		}
		if named := a.header.Get("Clinsource-Image-Id") != ""; named != (offset == len(data)) || named == (a.header.Get("Upload-Expires") != "") {
			t.Errorf("PATCH to %d of %d: %v", offset, len(data), a.header)
		}
	}
	if kept, _ := s.get(idOf(path)); !bytes.Equal(kept, data) {
		t.Errorf("%d bytes were kept, and others than the %d that were sent", len(kept), len(data))
	}
	for _, g := range two {
		h := g.send(t, "HEAD", path, nil).header
		if h.Get("Clinsource-Image-Id") != "image-of-"+idOf(path) || h.Get("Clinsource-Image-Created") != "true" || len(h.Get("Clinsource-Image-Sha256")) != 64 ||
			h.Get("Clinsource-Image-Findings") != "dicom.one, dicom.two" || h.Get("Upload-Offset") != strconv.Itoa(len(data)) {
			t.Errorf("HEAD of a complete upload: %v", h)
		}
	}
	if asked := s.uploads[idOf(path)].asked; asked.GetFileType() != "dcm" || asked.GetFileName() != "scan.dcm" || asked.GetPatientId() != "s-1" || asked.GetProjectId() != "p" {
		t.Errorf("dicom-rpc was asked for %v", asked)
	}
}

// Bytes may come with the creation.
func TestTusCreationWithUpload(t *testing.T) {
	s := &shelf{}
	g := newGateway(t, s)
	data := noise(5000)
	for _, sent := range []int{0, 2000, 5000} {
		a := g.send(t, "POST", "/v1/uploads", bytes.NewReader(data[:sent]), "Upload-Length", "5000", "Content-Type", "application/offset+octet-stream")
		if a.status != 201 || a.header.Get("Upload-Offset") != strconv.Itoa(sent) || (a.header.Get("Clinsource-Image-Id") != "") != (sent == 5000) {
			t.Errorf("%d bytes: %d %v %s", sent, a.status, a.header, a.body)
		}
		path := a.header.Get("Location")
		if a := g.patch(t, path, sent, data[sent:]); a.status != 204 || a.header.Get("Clinsource-Image-Id") == "" {
			t.Errorf("the rest after %d bytes: %d %s", sent, a.status, a.body)
		}
		if kept, _ := s.get(idOf(path)); !bytes.Equal(kept, data) {
			t.Errorf("%d bytes and the rest are other bytes", sent)
		}
	}
}

// The protocol's own answers are tusd's; what is refused beyond them is a problem.
func TestTusRefusals(t *testing.T) {
	s := &shelf{}
	g := newGateway(t, s)
	open := g.create(t, 100)
	aborted, complete := g.create(t, 100), g.create(t, 100)
	g.send(t, "DELETE", aborted, nil)
	g.patch(t, complete, 0, noise(100))
	const chunk = "application/offset+octet-stream"
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		says               string // A code of tusd's, or a reason of ours.
	}{
		"another offset":        {"PATCH", open, "x", []string{"Upload-Offset", "5", "Content-Type", chunk}, 409, "ERR_MISMATCHED_OFFSET"},
		"no offset":             {"PATCH", open, "x", []string{"Content-Type", chunk}, 400, "ERR_INVALID_OFFSET"},
		"no content type":       {"PATCH", open, "x", []string{"Upload-Offset", "0"}, 400, "ERR_INVALID_CONTENT_TYPE"},
		"more than the length":  {"PATCH", open, strings.Repeat("x", 101), []string{"Upload-Offset", "0", "Content-Type", chunk}, 413, "ERR_UPLOAD_SIZE_EXCEEDED"},
		"no version":            {"PATCH", open, "x", []string{"Upload-Offset", "0", "Content-Type", chunk, "Tus-Resumable", ""}, 412, "ERR_UNSUPPORTED_VERSION"},
		"another version":       {"POST", "/v1/uploads/", "", []string{"Upload-Length", "5", "Tus-Resumable", "0.2.2"}, 412, "ERR_UNSUPPORTED_VERSION"},
		"no length":             {"POST", "/v1/uploads/", "", nil, 400, "ERR_INVALID_UPLOAD_LENGTH"},
		"a length to come":      {"POST", "/v1/uploads/", "", []string{"Upload-Defer-Length", "1"}, 501, "ERR_NOT_IMPLEMENTED"},
		"unknown":               {"PATCH", "/v1/uploads/nobody", "x", []string{"Upload-Offset", "0", "Content-Type", chunk}, 404, "ERR_UPLOAD_NOT_FOUND"},
		"unknown, given up":     {"DELETE", "/v1/uploads/nobody", "", nil, 404, "ERR_UPLOAD_NOT_FOUND"},
		"given up":              {"PATCH", aborted, "x", []string{"Upload-Offset", "0", "Content-Type", chunk}, 410, "ERR_UPLOAD_ABORTED"},
		"given up twice":        {"DELETE", aborted, "", nil, 410, "ERR_UPLOAD_ABORTED"},
		"complete, given up":    {"DELETE", complete, "", nil, 409, "ERR_UPLOAD_COMPLETE"},
		"no token":              {"PATCH", open, "x", []string{"Authorization", ""}, 401, fault.ReasonTokenMissing},
		"no token, options":     {"OPTIONS", "/v1/uploads/", "", []string{"Authorization", ""}, 401, fault.ReasonTokenMissing},
		"no token, creation":    {"POST", "/v1/uploads/", "", []string{"Authorization", "Bearer a.b.c"}, 401, fault.ReasonTokenInvalid},
		"no token, given up":    {"DELETE", open, "", []string{"Authorization", ""}, 401, fault.ReasonTokenMissing},
		"a query":               {"POST", "/v1/uploads/?x=1", "", []string{"Upload-Length", "5"}, 400, fault.ReasonQueryInvalid},
		"an id that is none":    {"PATCH", "/v1/uploads/a%20b", "x", []string{"Upload-Offset", "0", "Content-Type", chunk}, 400, fault.ReasonFieldInvalid},
		"no bytes at all":       {"POST", "/v1/uploads/", "", []string{"Upload-Length", "0"}, 400, fault.ReasonFieldInvalid},
		"too many bytes":        {"POST", "/v1/uploads/", "", []string{"Upload-Length", "17179869185"}, 413, fault.ReasonBodyTooLarge},
		"no number of bytes":    {"POST", "/v1/uploads/", "", []string{"Upload-Length", "99999999999999999999"}, 413, fault.ReasonBodyTooLarge},
		"parts":                 {"POST", "/v1/uploads/", "", []string{"Upload-Length", "5", "Upload-Concat", "partial"}, 501, fault.ReasonUnimplemented},
		"quota":                 {"POST", "/v1/uploads/", "", []string{"Upload-Length", "5", "Upload-Metadata", metadataOf("project_id", "full")}, 507, fault.ReasonQuotaExceeded},
		"a method in a header":  {"POST", "/v1/uploads/", "", []string{"X-HTTP-Method-Override", "DELETE"}, 400, "ERR_INVALID_UPLOAD_LENGTH"},
		"GET":                   {"GET", open, "", nil, 405, fault.ReasonMethodNotAllowed},
		"a digest that is none": {"POST", "/v1/uploads/", "", []string{"Upload-Length", "5", "Upload-Metadata", metadataOf("sha256", "abc")}, 400, fault.ReasonFieldInvalid},
		"no base64":             {"POST", "/v1/uploads/", "", []string{"Upload-Length", "5", "Upload-Metadata", "patient_id s-1!"}, 400, fault.ReasonFieldInvalid},
		"two patients":          {"POST", "/v1/uploads/", "", []string{"Upload-Length", "5", "Upload-Metadata", metadataOf("patient_id", "a", "patient_id", "b")}, 400, fault.ReasonFieldInvalid},
		"no text":               {"POST", "/v1/uploads/", "", []string{"Upload-Length", "5", "Upload-Metadata", metadataOf("filename", "\xff")}, 400, fault.ReasonFieldInvalid},
		"perhaps resume":        {"POST", "/v1/uploads/", "", []string{"Upload-Length", "5", "Upload-Metadata", metadataOf("resume", "yes")}, 400, fault.ReasonFieldInvalid},
		"resume what":           {"POST", "/v1/uploads/", "", []string{"Upload-Length", "5", "Upload-Metadata", metadataOf("resume", "true")}, 400, fault.ReasonFieldInvalid},
		"resume with bytes": {"POST", "/v1/uploads/", "x", []string{"Upload-Length", "5", "Content-Type", chunk,
			"Upload-Metadata", metadataOf("resume", "true", "sha256", strings.Repeat("0", 64))}, 400, fault.ReasonFieldInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			a := g.send(t, c.method, c.path, strings.NewReader(c.body), c.header...)
			if strings.HasPrefix(c.says, "ERR_") {
				if !a.text(c.status, c.says) {
					t.Errorf("got %d %v %q, want %d %s", a.status, a.header, a.body, c.status, c.says)
				}
				return
			}
			if p := a.problem(t); a.status != c.status || p.Reason != c.says {
				t.Errorf("got %d %q, want %d %s", a.status, a.body, c.status, c.says)
			}
		})
	}
	if kept, upload := s.get(idOf(open)); len(kept) != 0 || upload.GetState() != dicompb.UploadState_OPEN {
		t.Errorf("a refused request changed the upload: %d bytes, %v", len(kept), upload.GetState())
	}
}

// What is not an image is refused with its rule in the answer to the last piece,
// and whoever missed that hears it when asking again.
func TestTusRefusedImage(t *testing.T) {
	s := &shelf{judge: func([]byte) error {
		return fault.Invalid(fault.ReasonImageRefused, "part of it is missing", fault.Violation{Field: "file", Rule: "dicom.truncated", Message: "part of it is missing"})
	}}
	g := newGateway(t, s)
	path := g.create(t, 100)
	if a := g.patch(t, path, 0, noise(60)); a.status != 204 {
		t.Fatalf("the first piece: %d %s", a.status, a.body)
	}
	a := g.patch(t, path, 60, noise(40))
	if p := a.problem(t); a.status != 400 || p.Reason != fault.ReasonImageRefused || len(p.Errors) != 1 || p.Errors[0].Rule != "dicom.truncated" {
		t.Errorf("the last piece: %d %s", a.status, a.body)
	}
	if a := g.send(t, "HEAD", path, nil); a.status != 410 || a.header.Get("Clinsource-Image-Id") != "" {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	if a := g.patch(t, path, 60, noise(40)); !a.text(410, "ERR_UPLOAD_REFUSED") || !strings.Contains(a.body, "dicom.truncated") {
		t.Errorf("the last piece again: %d %s", a.status, a.body)
	}
}

// Bytes that are all there and not judged, as after a crash, are judged by the
// next that asks: an offset that is the length means a visible image.
func TestTusJudgesWhatIsThere(t *testing.T) {
	for _, method := range []string{"HEAD", "PATCH"} {
		s := &shelf{}
		g := newGateway(t, s)
		path := g.create(t, 100)
		s.set(idOf(path), func(e *entry) { e.data = noise(100) })
		a := g.send(t, method, path, nil, "Upload-Offset", "100", "Content-Type", "application/offset+octet-stream")
		if a.status >= 300 || a.header.Get("Upload-Offset") != "100" || a.header.Get("Clinsource-Image-Id") == "" {
			t.Errorf("%s: %d %v", method, a.status, a.header)
		}
		if _, upload := s.get(idOf(path)); upload.GetState() != dicompb.UploadState_COMPLETE {
			t.Errorf("%s: the upload is %v", method, upload.GetState())
		}
	}
}

// A creation with resume finds the open upload of the same content, and says how
// far it is.
func TestTusResumeByContent(t *testing.T) {
	s := &shelf{}
	g := newGateway(t, s)
	data := noise(1000)
	about := []string{"sha256", strings.Repeat("AB", 32), "resume", "true"}
	path := g.create(t, len(data), about...)
	g.patch(t, path, 0, data[:400])
	a := g.send(t, "POST", "/v1/uploads/", nil, "Upload-Length", "1000", "Upload-Metadata", metadataOf(about...))
	if a.status != 201 || a.header.Get("Location") != path || a.header.Get("Upload-Offset") != "400" || a.header.Get("Upload-Expires") == "" {
		t.Errorf("again: %d %v", a.status, a.header)
	}
	if other := g.create(t, len(data), "sha256", strings.Repeat("cd", 32), "resume", "true"); other == path {
		t.Error("other content, and yet the same upload")
	}
}

// An image that is there already is complete from the beginning, and the answer
// says which it is, whether or not bytes come along.
func TestTusImageThereAlready(t *testing.T) {
	s := &shelf{}
	g := newGateway(t, s)
	data := noise(1000)
	sum := sha256.Sum256(data)
	about := metadataOf("sha256", hex.EncodeToString(sum[:]))
	first := g.create(t, len(data), "sha256", hex.EncodeToString(sum[:]))
	g.patch(t, first, 0, data)
	for _, sent := range []int{0, 400, 1000} {
		header := []string{"Upload-Length", "1000", "Upload-Metadata", about}
		if sent > 0 {
			header = append(header, "Content-Type", "application/offset+octet-stream")
		}
		a := g.send(t, "POST", "/v1/uploads/", bytes.NewReader(data[:sent]), header...)
		if a.status != 201 || a.header.Get("Upload-Offset") != "1000" || a.header.Get("Clinsource-Image-Id") != "image-of-"+idOf(first) ||
			a.header.Get("Clinsource-Image-Created") != "false" || a.header.Get("Upload-Expires") != "" {
			t.Errorf("with %d bytes: %d %v %s", sent, a.status, a.header, a.body)
		}
	}
}

// What came before a cut is kept, and the caller goes on from there.
func TestTusCut(t *testing.T) { bothProtocols(t, testTusCut) }

func testTusCut(t *testing.T, with func(*gateway) *gateway) {
	s := &shelf{}
	g := with(newGateway(t, s))
	data := noise(2 << 20)
	path := g.create(t, len(data))
	ctx, cut := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if a, err := g.try(ctx, "PATCH", path, r, "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream"); err == nil {
			t.Errorf("an answer to half a body: %d %s", a.status, a.body)
		}
	}()
	if _, err := w.Write(data[:1<<20]); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { kept, _ := s.get(idOf(path)); return len(kept) >= 512<<10 })
	cut()
	_ = w.CloseWithError(io.ErrUnexpectedEOF) // HTTP/1.1 waits for a body that is being read.
	<-done
	head := g.send(t, "HEAD", path, nil) // Waits for what is under way.
	offset, _ := strconv.Atoi(head.header.Get("Upload-Offset"))
	if head.status != 200 || offset < 512<<10 || offset > 1<<20 {
		t.Fatalf("HEAD after the cut: %d %v", head.status, head.header)
	}
	if a := g.patch(t, path, offset, data[offset:]); a.status != 204 || a.header.Get("Clinsource-Image-Id") == "" {
		t.Fatalf("the rest: %d %s", a.status, a.body)
	}
	if kept, _ := s.get(idOf(path)); !bytes.Equal(kept, data) {
		t.Error("other bytes were kept")
	}
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about in 10 s")
		}
	}
}

// endless is a body that goes on as long as anybody reads, as fast as a good line:
// over HTTP/1.1 a caller who pours 16 MiB more out before it has looked for the
// answer may find the connection closed instead.
type endless struct{ left int64 }

func (e *endless) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	n := min(int64(len(p)), e.left)
	if e.left -= n; e.left == 0 {
		return int(n), io.EOF
	}
	return int(n), nil
}

// What dicom-rpc says in the middle of a body is told at once: a refusal as it
// is, an end without one as a part that is away.
func TestTusHearsEarlyAnswers(t *testing.T) { bothProtocols(t, testTusHearsEarlyAnswers) }

func testTusHearsEarlyAnswers(t *testing.T, with func(*gateway) *gateway) {
	for name, c := range map[string]struct {
		stop   error
		status int
		says   string
	}{
		"storage full":  {fault.Exhausted(fault.ReasonStorageFull, "full", time.Minute), 507, fault.ReasonStorageFull},
		"another took":  {errOffset, 409, "ERR_MISMATCHED_OFFSET"},
		"it goes away":  {errStop, 503, fault.ReasonUnavailable},
		"it went away":  {fault.Unavailable(fault.ReasonUnavailable, "gone", time.Second), 503, fault.ReasonUnavailable},
		"it is too old": {fault.Unimplemented("no"), 501, fault.ReasonUnimplemented},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{stop: func(int) error { return c.stop }}
			g := with(newGateway(t, s))
			const size = 8 << 30
			a := g.send(t, "POST", "/v1/uploads/", nil, "Upload-Length", strconv.Itoa(size))
			a = g.send(t, "PATCH", a.header.Get("Location"), &endless{left: size}, "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
			if strings.HasPrefix(c.says, "ERR_") {
				if !a.text(c.status, c.says) {
					t.Errorf("%d %s", a.status, a.body)
				}
			} else if p := a.problem(t); a.status != c.status || p.Reason != c.says || c.status == 503 && a.header.Get("Retry-After") == "" {
				t.Errorf("%d %v %s", a.status, a.header, a.body)
			}
		})
	}
}

// A body that stands still ends after the idle limit, and what came is kept.
func TestTusIdle(t *testing.T) { bothProtocols(t, testTusIdle) }

func testTusIdle(t *testing.T, with func(*gateway) *gateway) {
	s := &shelf{}
	g := with(gateways(t, s, 1, 2*time.Second)[0])
	path := g.create(t, 100)
	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = w.Write(noise(10)) }()
	a := g.send(t, "PATCH", path, r, "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
	if p := a.problem(t); a.status != 504 || p.Reason != fault.ReasonTimeout {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := g.send(t, "HEAD", path, nil); a.header.Get("Upload-Offset") != "10" {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
}

// A newer request for an upload ends the older one of the same user, which may
// hang in a connection that is dead; nobody else's does.
func TestTusNewerRequestTakesOver(t *testing.T) { bothProtocols(t, testTusNewerRequestTakesOver) }

func testTusNewerRequestTakesOver(t *testing.T, with func(*gateway) *gateway) {
	s := &shelf{}
	g := with(newGateway(t, s))
	path := g.create(t, 100)
	r, w := io.Pipe()
	defer w.Close()
	first := make(chan answer, 1)
	go func() {
		a, _ := g.try(t.Context(), "PATCH", path, r, "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
		first <- a
	}()
	_, _ = w.Write(noise(10))
	eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.uploads[idOf(path)].epoch == 1 })
	head := g.send(t, "HEAD", path, nil)
	if a := <-first; !a.text(400, "ERR_UPLOAD_INTERRUPTED") {
		t.Errorf("the older request: %d %s", a.status, a.body)
	}
	kept, _ := s.get(idOf(path)) // 10, or 0 where the bytes were still on their way.
	if head.status != 200 || head.header.Get("Upload-Offset") != strconv.Itoa(len(kept)) {
		t.Errorf("the newer one: %d %v with %d bytes kept", head.status, head.header, len(kept))
	}
}

func TestTusOptions(t *testing.T) {
	a := newGateway(t, &shelf{}).send(t, "OPTIONS", "/v1/uploads/", nil, "Origin", "https://elsewhere.example")
	h := a.header
	if a.status != 200 || h.Get("Tus-Version") != "1.0.0" || h.Get("Tus-Max-Size") != "17179869184" ||
		h.Get("Tus-Extension") != "creation,creation-with-upload,termination,expiration" || h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v", a.status, h)
	}
}

// The caller's token and request id go on to dicom-rpc, and the log names neither
// uploads nor files nor subjects.
func TestTusPassesOnAndKeepsQuiet(t *testing.T) {
	logs := logtest.NewCollector(t)
	s := &shelf{}
	g := newGateway(t, s)
	path := g.create(t, 100, "filename", "secret-file.dcm", "patient_id", "secret-patient")
	g.patch(t, path, 0, noise(50), "X-Request-Id", "ours")
	g.patch(t, path, 7, noise(50), "X-Request-Id", "wrong")
	g.send(t, "DELETE", path, nil, "X-Request-Id", "last")
	g.server.Close() // The last line is written after the answer.
	for _, want := range []string{"GetUpload Bearer " + g.token + " ours", "UploadDicom Bearer " + g.token + " ours", "AbortUpload Bearer " + g.token + " last"} {
		if all := strings.Join(s.calls, "\n"); !strings.Contains(all, want) {
			t.Errorf("no call %s in\n%s", want, all)
		}
	}
	text := logs.String()
	for _, want := range []string{`"route":"PATCH /v1/uploads/:upload_id"`, `"status":204`, `"reason":"ERR_MISMATCHED_OFFSET"`, `"request_id":"wrong"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the log has no %s", want)
		}
	}
	if strings.Contains(text, "secret") || strings.Contains(text, g.token) {
		t.Errorf("the log tells too much: %s", text)
	}
}

// The gateway holds a chunk of an upload and no more: one that is larger than
// this process may be goes through.
func TestTusLargerThanMemory(t *testing.T) {
	s := &shelf{stop: func(got int) error {
		if got > 64<<20 {
			return errStop
		}
		return nil
	}}
	g := newGateway(t, s)
	a := g.send(t, "POST", "/v1/uploads/", nil, "Upload-Length", fmt.Sprint(maxTus))
	if a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	a = g.send(t, "PATCH", a.header.Get("Location"), &endless{left: maxTus}, "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
	if a.status != 503 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

const maxTus = 16 << 30
