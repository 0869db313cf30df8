package scenario

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"context"

	"clinsource/internal/mtls"
	"clinsource/project-api/openapi"
)

type object = map[string]any

// api calls the gateway as one user.
type api struct {
	token string
	http  *http.Client
}

var transport = sync.OnceValue(func() *http.Transport {
	pem, err := os.ReadFile(certs + "/ca.crt")
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 300,
	}
})

// token makes one as the README says.
func token(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("bin/clinctl", append([]string{"token", "--sub", "tester"}, args...)...).Output()
	if err != nil {
		t.Fatalf("clinctl token %v: %v", args, err)
	}
	text := string(out)
	if strings.Count(text, "\n") != 1 || strings.Count(text, ".") != 2 {
		t.Fatalf("clinctl token must print a token and nothing else, got %d bytes", len(text))
	}
	return strings.TrimSpace(text)
}

func as(t testing.TB, args ...string) *api {
	t.Helper()
	return &api{token: token(t, args...), http: &http.Client{Transport: transport()}}
}

// reply is an answer of the gateway.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// send calls the gateway and holds its answer against the contract.
func (a *api) send(t testing.TB, method, path string, body io.Reader, header ...string) reply {
	t.Helper()
	r, err := a.try(method, path, body, header...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if err := openapi.Check(method, path, r.status, r.header.Get("Content-Type"), r.body); err != nil {
		t.Errorf("the answer breaks the contract: %v", err)
	}
	return r
}

func (a *api) try(method, path string, body io.Reader, header ...string) (reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, gatewayURL+path, body)
	if err != nil {
		return reply{}, err
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: data}, err
}

func (a *api) get(t testing.TB, path string, header ...string) reply {
	t.Helper()
	return a.send(t, http.MethodGet, path, nil, header...)
}

func (a *api) post(t testing.TB, path string, body any, header ...string) reply {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return a.send(t, http.MethodPost, path, bytes.NewReader(data), header...)
}

// want checks the status and gives the body as an object.
func (r reply) want(t testing.TB, status int) object {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	if status >= 400 {
		r.problem(t)
	}
	return r.object(t)
}

func (r reply) object(t testing.TB) object {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.UseNumber()
	var o object
	if err := d.Decode(&o); err != nil {
		t.Fatalf("not JSON (%v): %.200s", err, r.body)
	}
	return o
}

// problem checks that a refusal is a whole problem document and gives its reason.
func (r reply) problem(t testing.TB) string {
	t.Helper()
	if ct := r.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("status %d with Content-Type %q: %.200s", r.status, ct, r.body)
	}
	o := r.object(t)
	for _, key := range []string{"type", "title", "status", "detail", "code", "reason", "errors", "request_id"} {
		if o[key] == nil || o[key] == "" {
			t.Fatalf("the problem has no %s: %s", key, r.body)
		}
	}
	if fmt.Sprint(o["status"]) != fmt.Sprint(r.status) || o["request_id"] != r.header.Get("X-Request-Id") {
		t.Fatalf("the problem disagrees with its answer: %s", r.body)
	}
	if (r.status == 503 || r.status == 429) && r.header.Get("Retry-After") == "" {
		t.Fatalf("status %d without Retry-After", r.status)
	}
	return o["reason"].(string)
}

// world is a project of a test's own.
type world struct {
	project string
	admin   *api
	path    string // /v1/projects/P
}

// newWorld makes a project with sites s1 and s2.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{project: "p-" + strings.ToLower(rand.Text()[:12])}
	w.path = "/v1/projects/" + w.project
	as(t, "--role", "admin").post(t, "/v1/projects", object{"project_id": w.project}).want(t, 201)
	w.admin = as(t, "--role", "admin", "--project", w.project)
	for _, site := range []string{"s1", "s2"} {
		w.admin.post(t, w.path+"/sites", object{"site_id": site}).want(t, 201)
	}
	return w
}

// subject enrols one with a name of its own and gives its path.
func (w *world) subject(t testing.TB, site string) (id, path string) {
	t.Helper()
	id = "s-" + strings.ToLower(rand.Text()[:12])
	w.admin.post(t, w.path+"/subjects", object{"patient_id": id, "site_id": site}).want(t, 201)
	return id, w.path + "/subjects/" + id
}

// as gives a user of the project.
func (w *world) as(t testing.TB, role string, args ...string) *api {
	t.Helper()
	return as(t, append([]string{"--role", role, "--project", w.project}, args...)...)
}

// dial opens a gRPC connection as the holder of a development certificate.
func dial(t testing.TB, process, addr, holder string) *grpc.ClientConn {
	t.Helper()
	files, err := mtls.NewClient(mtls.ClientFiles{
		ServerName: process, CaFile: certs + "/ca.crt", CertFile: certs + "/" + holder + ".crt", KeyFile: certs + "/" + holder + ".key",
	})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(files.Credentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// authorized puts a user's token into a context for gRPC.
func authorized(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}
