// Package selfcheck lets a binary ask the process that runs by the same
// configuration for its health: `vitals-rpc -health -f etc/vitals-rpc.yaml`. An
// image FROM scratch holds no other program that could, and no other holds the
// right certificate: the question goes over the process's own port, with its own
// certificate, under the peer list like everybody else's.
package selfcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/zeromicro/go-zero/rest"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"clinsource/internal/mtls"
	"clinsource/internal/rpcserver"
)

// within bounds one question.
const within = 3 * time.Second

// Service asks a gRPC service for its health, as its own peer: the service's
// name stands in Peers under grpc.health.v1.Health.
func Service(ctx context.Context, c rpcserver.Config) error {
	addr, err := local(c.ListenOn)
	if err != nil {
		return err
	}
	own, err := leaf(c.Tls.CertFile, c.Tls.KeyFile)
	if err != nil {
		return err
	}
	files, err := mtls.NewClient(mtls.ClientFiles{
		ServerName: own.DNSNames[0], CaFile: c.Tls.ClientCaFile, CertFile: c.Tls.CertFile, KeyFile: c.Tls.KeyFile,
	})
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(files.Credentials()), grpc.WithNoProxy())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	if err == nil && answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		err = errors.New("health: " + answer.GetStatus().String())
	}
	return errors.Join(err, conn.Close())
}

// Gateway asks the HTTPS gateway whether it is ready. It takes the certificate
// in CertFile and no other: whose CA issued it is for callers to know.
func Gateway(ctx context.Context, c rest.RestConf) error {
	addr, err := local(net.JoinHostPort(c.Host, strconv.Itoa(c.Port)))
	if err != nil {
		return err
	}
	own, err := leaf(c.CertFile, c.KeyFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AddCert(own)
	web := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: own.DNSNames[0]},
		DisableKeepAlives: true,
	}}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := web.Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("/readyz: status %d", resp.StatusCode)
	}
	return errors.Join(err, resp.Body.Close())
}

// local is where a listener is reached from its own machine.
func local(listenOn string) (string, error) {
	host, port, err := net.SplitHostPort(listenOn)
	if err != nil {
		return "", fmt.Errorf("ListenOn %q is not host:port", listenOn)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// leaf reads a certificate that says whose it is.
func leaf(certFile, keyFile string) (*x509.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	if len(pair.Leaf.DNSNames) == 0 {
		return nil, fmt.Errorf("%s has no DNS name", certFile)
	}
	return pair.Leaf, nil
}
