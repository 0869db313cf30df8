package discovery

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
)

// startReplica serves gRPC's health service on a free port until the test ends.
func startReplica(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// dial connects to whoever is registered under key, in turn.
func dial(t *testing.T, c *Client, key, policy string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(Target(key), c.DialOption(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"`+policy+`": {}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// call answers which replica answered.
func call(t *testing.T, conn *grpc.ClientConn) (addr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var p peer.Peer
	if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Peer(&p)); err != nil {
		return "", err
	}
	return p.Addr.String(), nil
}

// reached is who answers twenty calls, all of which must succeed.
func reached(t *testing.T, conn *grpc.ClientConn) map[string]bool {
	t.Helper()
	who := make(map[string]bool)
	for range 20 {
		addr, err := call(t, conn)
		if err != nil {
			t.Fatal(err)
		}
		who[addr] = true
	}
	return who
}

// traffic calls conn without pause until stop, and counts.
type traffic struct {
	calls, failures atomic.Int64
	lastError       atomic.Value
	stop            func()
}

func startTraffic(t *testing.T, conn *grpc.ClientConn) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	tr, done := &traffic{}, make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if _, err := call(t, conn); err != nil {
				tr.failures.Add(1)
				tr.lastError.Store(err)
			}
			tr.calls.Add(1)
			time.Sleep(2 * time.Millisecond)
		}
	}()
	tr.stop = func() { cancel(); <-done }
	t.Cleanup(tr.stop)
	return tr
}

func (tr *traffic) mustBeWhole(t *testing.T) {
	t.Helper()
	tr.stop()
	if n := tr.calls.Load(); n < 100 {
		t.Errorf("only %d calls made: this shows nothing", n)
	}
	if n := tr.failures.Load(); n > 0 {
		t.Errorf("%d of %d calls failed, the last with: %v", n, tr.calls.Load(), tr.lastError.Load())
	}
}
