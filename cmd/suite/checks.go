package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"clinsource/internal/mtls"
)

// checkWithin bounds one health check.
const checkWithin = time.Second

// checks ask every process for its health, with the launcher's certificate.
type checks struct {
	names []string
	ask   map[string]func(ctx context.Context) error
	done  map[string]bool
	conns []*grpc.ClientConn
}

func newChecks() (*checks, error) {
	c := &checks{ask: map[string]func(context.Context) error{}, done: map[string]bool{}}
	for i, name := range []string{"vitals-rpc", "dicom-rpc", "epro-rpc", "subject-rpc"} {
		if err := c.addGRPC(name, fmt.Sprintf("127.0.0.1:%d", 9101+i)); err != nil {
			return nil, err
		}
	}
	for name, url := range map[string]string{"etcd": "https://127.0.0.1:2379/health", "project-api": gatewayURL + "/readyz"} {
		if err := c.addHTTP(name, url); err != nil {
			return nil, err
		}
	}
	c.addKnows("project-api's discovery", 9200, "vitals.rpc", "dicom.rpc", "epro.rpc", "subject.rpc", "medication.rpc")
	for i, name := range []string{"vitals-rpc", "dicom-rpc", "epro-rpc"} {
		c.addKnows(name+"'s discovery", 9201+i, "subject.rpc")
	}
	return c, nil
}

// addKnows waits until a process has found those that it calls, by its metrics:
// before that its first calls would find nobody.
func (c *checks) addKnows(name string, port int, keys ...string) {
	url := fmt.Sprintf("http://127.0.0.1:%d/metrics", port)
	c.names = append(c.names, name)
	c.ask[name] = func(ctx context.Context) error {
		text, err := get(ctx, &http.Client{Timeout: checkWithin}, url)
		if err != nil {
			return err
		}
		for _, key := range keys {
			gauge := fmt.Sprintf("clinsource_discovery_addresses{key=%q} ", key)
			_, value, found := strings.Cut(text, gauge)
			if !found || strings.HasPrefix(value, "0\n") {
				return fmt.Errorf("%s is not found yet", key)
			}
		}
		return nil
	}
}

// maxAnswer bounds what a check reads.
const maxAnswer = 1 << 20

func get(ctx context.Context, web *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := web.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return string(body), err
}

func client(server string) (*mtls.Client, error) {
	return mtls.NewClient(mtls.ClientFiles{
		ServerName: server, CaFile: certs + "/ca.crt", CertFile: certs + "/suite.crt", KeyFile: certs + "/suite.key",
	})
}

func (c *checks) addGRPC(name, addr string) error {
	files, err := client(name)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(files.Credentials()), grpc.WithNoProxy(),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: checkWithin}))
	if err != nil {
		return err
	}
	c.conns = append(c.conns, conn)
	health := healthpb.NewHealthClient(conn)
	c.names = append(c.names, name)
	c.ask[name] = func(ctx context.Context) error {
		resp, err := health.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
		if err == nil && resp.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			err = fmt.Errorf("not serving")
		}
		return err
	}
	return nil
}

func (c *checks) addHTTP(name, url string) error {
	files, err := client(name)
	if err != nil {
		return err
	}
	tls := files.TLSConfig()
	tls.NextProtos = nil
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: tls, DisableKeepAlives: true}}
	c.names = append(c.names, name)
	c.ask[name] = func(ctx context.Context) error {
		_, err := get(ctx, web, url)
		return err
	}
	return nil
}

// waiting names the processes that have not answered yet.
func (c *checks) waiting(ctx context.Context) (names []string) {
	for _, name := range c.names {
		if c.done[name] {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, checkWithin)
		err := c.ask[name](asking)
		cancel()
		if err != nil {
			names = append(names, name)
			continue
		}
		c.done[name] = true
	}
	return names
}

func (c *checks) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}
