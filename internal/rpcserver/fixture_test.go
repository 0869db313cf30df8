package rpcserver

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/zrpc"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"clinsource/internal/auditlog"
	"clinsource/internal/auth"
	"clinsource/internal/callinfo"
	"clinsource/internal/devcert"
	"clinsource/internal/fault"
	"clinsource/internal/mtls"
	dicompb "clinsource/proto/dicom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

const (
	summaryMethod = "/dicom.DicomService/GetImagesSummary"
	listMethod    = "/dicom.DicomService/ListImages"
)

// service is a service whose methods a test gives: two unary ones and both
// kinds of streams.
type service struct {
	dicompb.UnimplementedDicomServiceServer
	summary  func(context.Context) error
	list     func(context.Context) error
	upload   func(grpc.ClientStreamingServer[dicompb.UploadDicomRequest, dicompb.UploadDicomResponse]) error
	download func(grpc.ServerStreamingServer[dicompb.DownloadDicomResponse]) error
}

func (s *service) GetImagesSummary(ctx context.Context, _ *dicompb.GetImagesSummaryRequest) (*dicompb.GetImagesSummaryResponse, error) {
	return &dicompb.GetImagesSummaryResponse{}, s.summary(ctx)
}

func (s *service) ListImages(ctx context.Context, _ *dicompb.ListImagesRequest) (*dicompb.ListImagesResponse, error) {
	return &dicompb.ListImagesResponse{}, s.list(ctx)
}

func (s *service) UploadDicom(stream grpc.ClientStreamingServer[dicompb.UploadDicomRequest, dicompb.UploadDicomResponse]) error {
	return s.upload(stream)
}

func (s *service) DownloadDicom(_ *dicompb.DownloadDicomRequest, stream grpc.ServerStreamingServer[dicompb.DownloadDicomResponse]) error {
	return s.download(stream)
}

func (s *service) register(g *grpc.Server) { dicompb.RegisterDicomServiceServer(g, s) }

// fixture is a server with the guard of New on a loopback port, with real
// certificates, and a caller's token. Only the listening is the test's own: a
// zrpc.Server cannot be stopped but by a signal.
type fixture struct {
	*service
	guard            *guard
	dir, addr, token string
	log              *logged
}

// unknown is a registry that has not heard of any account.
var unknown = auth.AccountSourceFunc(func(context.Context, string, string) (auth.Account, error) { return auth.Account{}, nil })

func certificates(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if _, err := devcert.Ensure(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// configOf is the config of a dicom-rpc that project-api may call.
func configOf(dir string) Config {
	return Config{
		RpcServerConf: zrpc.RpcServerConf{Timeout: 300},
		Tls: mtls.ServerFiles{
			CertFile: filepath.Join(dir, "dicom-rpc.crt"), KeyFile: filepath.Join(dir, "dicom-rpc.key"), ClientCaFile: filepath.Join(dir, "ca.crt"),
		},
		Peers: mtls.PeerList{
			"dicom.DicomService":                    {"project-api"},
			healthpb.Health_ServiceDesc.ServiceName: {"project-api", "suite"},
		},
		Policy: auth.PolicyConfig{File: "../../etc/policy.cedar"},
		Audit:  auditlog.Config{KeyFile: filepath.Join(dir, "audit.key"), CheckpointDir: dir, Every: time.Minute},
		Tokens: auth.Config{{Issuer: auth.DevIssuer, Audience: auth.DevAudience, JwksFile: filepath.Join(dir, "issuer.jwks.json")}},
	}
}

func serve(t *testing.T, s *service, opts ...Option) *fixture {
	t.Helper()
	dir := certificates(t)
	g, options, err := serverOptions(configOf(dir), s.register, unknown, opts...)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	s.register(server)
	healthpb.RegisterHealthServer(server, health.NewServer())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	token, err := auth.Issue(filepath.Join(dir, "issuer.key"), "nurse", []auth.Grant{{Role: auth.Monitor, Project: "p"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{service: s, guard: g, dir: dir, addr: listener.Addr().String(), token: token, log: capture(t)}
}

// as connects as the process.
func (f *fixture) as(t *testing.T, process string) *grpc.ClientConn {
	t.Helper()
	files, err := mtls.NewClient(mtls.ClientFiles{ServerName: "dicom-rpc", CaFile: filepath.Join(f.dir, "ca.crt"),
		CertFile: filepath.Join(f.dir, process+".crt"), KeyFile: filepath.Join(f.dir, process+".key")})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(f.addr, grpc.WithTransportCredentials(files.Credentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (f *fixture) gateway(t *testing.T) dicompb.DicomServiceClient {
	return dicompb.NewDicomServiceClient(f.as(t, "project-api"))
}

// call gives the context of a call with these metadata, with time enough.
func call(t *testing.T, pairs ...string) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// authorized is call with the fixture's token.
func (f *fixture) authorized(t *testing.T, pairs ...string) context.Context {
	return call(t, append(pairs, callinfo.AuthorizationKey, "Bearer "+f.token)...)
}

func isFault(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	if got := fault.From(err); got == nil || got.Code != code || got.Reason != reason {
		t.Errorf("the answer is %v, want %s %s", err, code, reason)
	}
}

// logged collects the lines of the log.
type logged struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

// lines gives the lines so far, read as JSON.
func (l *logged) lines(t *testing.T) (lines []map[string]any) {
	t.Helper()
	for text := range strings.Lines(l.text()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("the line %q is not JSON: %v", text, err)
		}
		lines = append(lines, line)
	}
	return lines
}

func capture(t *testing.T) *logged {
	l := &logged{}
	before := logx.Reset()
	logx.SetWriter(logx.NewWriter(l))
	t.Cleanup(func() {
		if logx.Reset(); before != nil {
			logx.SetWriter(before)
		}
	})
	return l
}
