package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const healthService = "grpc.health.v1.Health"

// serve runs a real gRPC server on the loopback until the test ends; the
// health service stands for ours.
func serve(t *testing.T, creds credentials.TransportCredentials, peers PeerList) (address string) {
	t.Helper()
	server := grpc.NewServer(grpc.Creds(creds),
		grpc.ChainUnaryInterceptor(peers.UnaryInterceptor()), grpc.ChainStreamInterceptor(peers.StreamInterceptor()))
	healthpb.RegisterHealthServer(server, health.NewServer())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func dial(t *testing.T, address string, creds credentials.TransportCredentials) healthpb.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return healthpb.NewHealthClient(conn)
}

// recorder keeps what a server's handshakes failed with: the alert that tells
// the client may be lost to a broken pipe.
type recorder struct {
	credentials.TransportCredentials
	mu     sync.Mutex
	errors []string
}

func (r *recorder) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := r.TransportCredentials.ServerHandshake(conn)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.errors = append(r.errors, err.Error())
	}
	return secured, info, err
}

// waitFor gives what was recorded, as soon as it holds text: the client may
// know of a failed handshake before ServerHandshake has returned.
func (r *recorder) waitFor(text string) string {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		seen := "server: " + strings.Join(r.errors, "; ")
		r.mu.Unlock()
		if strings.Contains(seen, text) || time.Now().After(deadline) {
			return seen
		}
	}
}

// unary and stream make one call each and give its error.
func unary(t *testing.T, c healthpb.HealthClient) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := c.Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

func stream(t *testing.T, c healthpb.HealthClient) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	w, err := c.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return err
	}
	_, err = w.Recv()
	return err
}

func must[T any](t *testing.T) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func second[T any](_ T, err error) error { return err }

// TestMatrix is the list of callers and servers that must not get through,
// beside one that must.
func TestMatrix(t *testing.T) {
	ca, wrongCA, s := newTestCA(t), newTestCA(t), newStore(t)
	s.put("ca.crt", ca.pem())
	s.put("wrong-ca.crt", wrongCA.pem())
	s.putPair("server", ca.leaf("vitals-rpc"))
	s.putPair("server-expired", ca.leaf("vitals-rpc", expiredAnHourAgo))
	s.putPair("server-of-wrong-ca", wrongCA.leaf("vitals-rpc"))
	s.putPair("server-for-clients-only", ca.leaf("vitals-rpc", only(x509.ExtKeyUsageClientAuth)))
	s.putPair("listed", ca.leaf("project-api"))
	s.putPair("stranger", ca.leaf("epro-rpc"))
	s.putPair("of-wrong-ca", wrongCA.leaf("project-api"))
	s.putPair("expired", ca.leaf("project-api", expiredAnHourAgo))
	s.putPair("for-servers-only", ca.leaf("project-api", only(x509.ExtKeyUsageServerAuth)))
	s.putPair("nameless", ca.leaf("project-api", withoutSAN))

	peers := PeerList{healthService: {"project-api"}}
	newServer, newClient := must[*Server](t), must[*Client](t)
	good := newServer(NewServer(s.server("server", "ca.crt"))).Credentials()
	inThePast := newServer(NewServer(s.server("server-expired", "ca.crt"), WithClock(twoHoursAgo)))
	// raw is a client of foreign make: our own refuses these files at start.
	raw := func(change func(*tls.Config)) credentials.TransportCredentials {
		pair := must[tls.Certificate](t)(tls.LoadX509KeyPair(s.path("listed.crt"), s.path("listed.key")))
		c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "vitals-rpc", Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		c.RootCAs.AddCert(ca.cert)
		change(c)
		return credentials.NewTLS(c)
	}
	rawPair := func(name string) credentials.TransportCredentials {
		return raw(func(c *tls.Config) {
			pair := must[tls.Certificate](t)(tls.LoadX509KeyPair(s.path(name+".crt"), s.path(name+".key")))
			c.Certificates = []tls.Certificate{pair}
		})
	}
	rawServer := func(name string) credentials.TransportCredentials {
		pair := must[tls.Certificate](t)(tls.LoadX509KeyPair(s.path(name+".crt"), s.path(name+".key")))
		return credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13})
	}
	ours := func(name, ca, serverName string) credentials.TransportCredentials {
		return newClient(NewClient(s.client(name, ca, serverName))).Credentials()
	}

	for _, c := range []struct {
		name   string
		server credentials.TransportCredentials
		client credentials.TransportCredentials
		code   codes.Code
		text   string
	}{
		{"listed caller", good, ours("listed", "ca.crt", "vitals-rpc"), codes.OK, ""},
		{"listed caller of foreign make", good, raw(func(*tls.Config) {}), codes.OK, ""},
		{"plaintext caller", good, insecure.NewCredentials(), codes.Unavailable, "server: tls: first record does not look like a TLS handshake"},
		{"plaintext server", insecure.NewCredentials(), ours("listed", "ca.crt", "vitals-rpc"), codes.Unavailable, "first record does not look like a TLS handshake"},
		{"no certificate", good, raw(func(c *tls.Config) { c.Certificates = nil }), codes.Unavailable, "server: tls: client didn't provide a certificate"},
		{"caller of another CA", good, rawPair("of-wrong-ca"), codes.Unavailable, "server: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{"expired caller", good, rawPair("expired"), codes.Unavailable, "server: tls: failed to verify certificate: x509: certificate has expired"},
		{"caller with a server's certificate", good, rawPair("for-servers-only"), codes.Unavailable, "server: tls: failed to verify certificate: x509: certificate specifies an incompatible key usage"},
		{"caller with TLS 1.2", good, raw(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), codes.Unavailable, "server: tls: client offered only unsupported versions"},
		{"caller without a name", good, rawPair("nameless"), codes.PermissionDenied, "peer_not_allowed: " + healthService},
		{"caller not on the list", good, ours("stranger", "ca.crt", "vitals-rpc"), codes.PermissionDenied, `peer_not_allowed: ` + healthService + ` may not be called by the holder of the certificate "epro-rpc"`},
		{"server of another name", good, ours("listed", "ca.crt", "dicom-rpc"), codes.Unavailable, "not a trusted dicom-rpc"},
		{"server of another CA", rawServer("server-of-wrong-ca"), ours("listed", "ca.crt", "vitals-rpc"), codes.Unavailable, "unknown authority"},
		{"expired server", inThePast.Credentials(), ours("listed", "ca.crt", "vitals-rpc"), codes.Unavailable, "has expired"},
		{"server with a client's certificate", rawServer("server-for-clients-only"), ours("listed", "ca.crt", "vitals-rpc"), codes.Unavailable, "incompatible key usage"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := &recorder{TransportCredentials: c.server}
			client := dial(t, serve(t, server, peers), c.client)
			for kind, err := range map[string]error{"unary": unary(t, client), "stream": stream(t, client)} {
				seen := fmt.Sprintf("client: %v", err)
				if strings.HasPrefix(c.text, "server: ") {
					seen = server.waitFor(c.text)
				}
				if status.Code(err) != c.code || !strings.Contains(seen, c.text) {
					t.Errorf("%s: %v, %s; want %v with %q", kind, err, seen, c.code, c.text)
				}
			}
		})
	}
}
