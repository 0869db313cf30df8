package selfcheck

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/rest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"clinsource/internal/devcert"
	"clinsource/internal/mtls"
	"clinsource/internal/rpcserver"
)

func certificates(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := devcert.Ensure(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func filesOf(dir, name string) mtls.ServerFiles {
	return mtls.ServerFiles{
		CertFile: filepath.Join(dir, name+".crt"), KeyFile: filepath.Join(dir, name+".key"), ClientCaFile: filepath.Join(dir, "ca.crt"),
	}
}

// A service that serves is well; one that says otherwise, another process on the
// same port, and nobody there are not.
func TestService(t *testing.T) {
	dir := certificates(t)
	credentials, err := mtls.NewServer(filesOf(dir, "vitals-rpc"))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	state := health.NewServer()
	server := grpc.NewServer(grpc.Creds(credentials.Credentials()))
	healthpb.RegisterHealthServer(server, state)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)

	var c rpcserver.Config
	c.Tls = filesOf(dir, "vitals-rpc")
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	c.ListenOn = "0.0.0.0:" + port
	if err := Service(t.Context(), c); err != nil {
		t.Errorf("serving: %v", err)
	}
	state.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	if err := Service(t.Context(), c); err == nil || !strings.Contains(err.Error(), "NOT_SERVING") {
		t.Errorf("not serving: %v", err)
	}
	state.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	other := c
	other.Tls = filesOf(dir, "epro-rpc")
	if err := Service(t.Context(), other); err == nil {
		t.Error("another process's port passes for one's own")
	}
	server.Stop()
	if err := Service(t.Context(), c); err == nil {
		t.Error("nobody listens, and that is well")
	}
}

// The gateway is well when /readyz says so, under the certificate of its file.
func TestGateway(t *testing.T) {
	dir := certificates(t)
	edge, err := mtls.NewEdge(filepath.Join(dir, "project-api.crt"), filepath.Join(dir, "project-api.key"))
	if err != nil {
		t.Fatal(err)
	}
	ready := http.StatusOK
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			ready = http.StatusNotFound
		}
		w.WriteHeader(ready)
	}))
	server.TLS = edge.TLSConfig()
	server.StartTLS()
	t.Cleanup(server.Close)

	c := rest.RestConf{CertFile: filepath.Join(dir, "project-api.crt"), KeyFile: filepath.Join(dir, "project-api.key")}
	c.Host = "0.0.0.0"
	if c.Port, err = strconv.Atoi(server.URL[strings.LastIndexByte(server.URL, ':')+1:]); err != nil {
		t.Fatal(err)
	}
	if err := Gateway(t.Context(), c); err != nil {
		t.Errorf("ready: %v", err)
	}
	ready = http.StatusServiceUnavailable
	if err := Gateway(t.Context(), c); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("not ready: %v", err)
	}
	ready = http.StatusOK
	c.CertFile, c.KeyFile = filepath.Join(dir, "etcd.crt"), filepath.Join(dir, "etcd.key")
	if err := Gateway(t.Context(), c); err == nil {
		t.Error("a server with another certificate passes for one's own")
	}
}
