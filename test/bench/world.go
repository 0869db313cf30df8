package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"clinsource/internal/auth"
	"clinsource/internal/mtls"
)

// subjects of the bench's project: as many as a site has in a busy month, so
// that counts and newest values spread over more than a row.
const subjectCount = 24

// callWithin bounds one call.
const callWithin = 10 * time.Second

// world is a project of the bench's own, and who may write to it.
type world struct {
	project  string
	patients []string
	token    string // Of a device in the project.
	reader   string // Of a monitor.
}

// newWorld sets the project up through the gateway.
func newWorld(ctx context.Context) (*world, error) {
	w := &world{project: "bench-" + strings.ToLower(rand.Text()[:8])}
	admin, err := token(auth.Grant{Role: auth.Admin}, auth.Grant{Role: auth.Admin, Project: w.project})
	if err != nil {
		return nil, err
	}
	if w.token, err = token(auth.Grant{Role: auth.Device, Project: w.project}); err != nil {
		return nil, err
	}
	if w.reader, err = token(auth.Grant{Role: auth.Monitor, Project: w.project}); err != nil {
		return nil, err
	}
	web, err := newWeb(1, false)
	if err != nil {
		return nil, err
	}
	defer web.CloseIdleConnections()
	post := func(path, body string) error {
		_, err := send(ctx, web, http.MethodPost, path, admin, []byte(body))
		return err
	}
	path := "/v1/projects/" + w.project
	errs := []error{
		post("/v1/projects", fmt.Sprintf(`{"project_id":%q}`, w.project)),
		post(path+"/sites", `{"site_id":"s1"}`),
		post(path+"/sites", `{"site_id":"s2"}`),
	}
	errs = append(errs, post(path+"/subjects", fmt.Sprintf(`{"patient_id":%q,"site_id":"s1"}`, w.listed())))
	for i := range subjectCount {
		patient := fmt.Sprintf("%s-%03d", w.project, i)
		w.patients = append(w.patients, patient)
		errs = append(errs, post(path+"/subjects", fmt.Sprintf(`{"patient_id":%q,"site_id":%q}`, patient, siteOf(i))))
	}
	return w, errors.Join(errs...)
}

func siteOf(i int) string { return fmt.Sprintf("s%d", 1+i%2) }

func token(grants ...auth.Grant) (string, error) {
	return auth.Issue(certs+"/issuer.key", "bench", grants, time.Hour)
}

// newWeb makes an HTTPS client that keeps its connections: over HTTP/1.1 up to
// conns of them, over HTTP/2 one.
func newWeb(conns int, http2 bool) (*http.Client, error) {
	pem, err := os.ReadFile(certs + "/ca.crt")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New(certs + "/ca.crt holds no certificate")
	}
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, Protocols: &protocols, MaxIdleConnsPerHost: conns,
	}}, nil
}

// send calls the gateway and gives the body of its answer.
func send(ctx context.Context, web *http.Client, method, path, token string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, gatewayURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := web.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		var problem struct{ Reason, Detail string }
		_ = json.Unmarshal(answer, &problem) // What is no problem document has no reason to show.
		err = fmt.Errorf("%s: status %d %s: %s", method, resp.StatusCode, problem.Reason, problem.Detail)
	}
	return answer, err
}

// dial opens one gRPC connection to a process, as the holder of a development
// certificate.
func dial(process, addr, holder string) (*grpc.ClientConn, error) {
	files, err := mtls.NewClient(mtls.ClientFiles{
		ServerName: process, CaFile: certs + "/ca.crt", CertFile: certs + "/" + holder + ".crt", KeyFile: certs + "/" + holder + ".key",
	})
	if err != nil {
		return nil, err
	}
	return grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(files.Credentials()), grpc.WithNoProxy())
}

// authorized puts a token into a context for gRPC.
func authorized(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}
