package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
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

func newChecks(p *plan) (*checks, error) {
	c := &checks{ask: map[string]func(context.Context) error{}, done: map[string]bool{}}
	if err := c.addHTTP("etcd", "etcd", "https://"+etcdHosts[0]+"/health"); err != nil {
		return nil, err
	}
	for _, k := range p.kinds {
		for _, r := range k.replicas {
			if err := c.addReplica(p, k, r); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// addReplica asks a process whether it is well, and whether it has found those
// that it calls.
func (c *checks) addReplica(p *plan, k kind, r replica) error {
	switch k.name {
	case "project-api":
		for _, called := range p.kinds {
			c.addKnows(r, len(called.replicas), called.keys...)
		}
		return c.addHTTP(k.name, r.name, "https://"+r.listen+"/readyz")
	case "subject-rpc": // Calls nobody.
	default:
		registry := p.kindOf("subject-rpc")
		c.addKnows(r, len(registry.replicas), registry.keys[0])
	}
	return c.addGRPC(k.name, r.name, r.listen)
}

// addKnows waits until a process has found so many of each that it calls, by its
// metrics: before that its first calls would find nobody.
func (c *checks) addKnows(r replica, replicas int, keys ...string) {
	url := fmt.Sprintf("http://127.0.0.1:%d/metrics", r.metrics)
	for _, key := range keys {
		c.add(fmt.Sprintf("%s to find %s", r.name, key), func(ctx context.Context) error {
			text, err := get(ctx, &http.Client{Timeout: checkWithin}, url)
			if err != nil {
				return err
			}
			_, value, _ := strings.Cut(text, fmt.Sprintf("clinsource_discovery_addresses{key=%q} ", key))
			value, _, _ = strings.Cut(value, "\n")
			if n, err := strconv.Atoi(value); err != nil || n < replicas {
				return fmt.Errorf("%s is not found yet", key)
			}
			return nil
		})
	}
}

func (c *checks) add(name string, ask func(context.Context) error) {
	c.names = append(c.names, name)
	c.ask[name] = ask
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

func (c *checks) addGRPC(server, name, addr string) error {
	files, err := client(server)
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
	c.add(name, func(ctx context.Context) error {
		resp, err := health.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
		if err == nil && resp.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			err = fmt.Errorf("not serving")
		}
		return err
	})
	return nil
}

func (c *checks) addHTTP(server, name, url string) error {
	files, err := client(server)
	if err != nil {
		return err
	}
	tls := files.TLSConfig()
	tls.NextProtos = nil
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: tls, DisableKeepAlives: true}}
	c.add(name, func(ctx context.Context) error {
		_, err := get(ctx, web, url)
		return err
	})
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
