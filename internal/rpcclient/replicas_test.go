package rpcclient

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

// replicaServer is one of several servers, which a test can slow, hang and end.
type replicaServer struct {
	downstream
	server *grpc.Server
	health *health.Server
	addr   string
	calls  atomic.Int64
	delay  atomic.Int64 // Nanoseconds; negative: until the caller leaves.
	fail   atomic.Pointer[status.Status]
}

func (r *replicaServer) answer(ctx context.Context) error {
	r.calls.Add(1)
	if st := r.fail.Load(); st != nil {
		return st.Err()
	}
	d := time.Duration(r.delay.Load())
	if d < 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dialReplicas gives a client of n servers by the rules of New.
func dialReplicas(t *testing.T, n int) (dicompb.DicomServiceClient, []*replicaServer) {
	t.Helper()
	var servers []*replicaServer
	var state resolver.State
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		r := &replicaServer{server: grpc.NewServer(), health: health.NewServer(), addr: listener.Addr().String()}
		r.summary = r.answer
		dicompb.RegisterDicomServiceServer(r.server, r)
		healthpb.RegisterHealthServer(r.server, r.health)
		var serving sync.WaitGroup
		serving.Go(func() { _ = r.server.Serve(listener) })
		t.Cleanup(func() { r.server.Stop(); serving.Wait() })
		servers = append(servers, r)
		state.Addresses = append(state.Addresses, resolver.Address{Addr: r.addr})
	}
	list := manual.NewBuilderWithScheme("replicas")
	list.InitialState(state)
	options := append(rules(newBulkhead(t.Name(), 512), RetryPolicy(dicompb.DicomService_ServiceDesc.ServiceName)),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithResolvers(list))
	conn, err := grpc.NewClient("replicas:///"+t.Name(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client := dicompb.NewDicomServiceClient(conn)
	for end := time.Now().Add(5 * time.Second); ; { // Until all are in use.
		calling(t, client, 4, time.Second)
		busy := 0
		for _, r := range servers {
			if r.calls.Load() > 0 {
				busy++
			}
		}
		if busy == n {
			return client, servers
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d replicas are in use", busy, n)
		}
	}
}

// calling makes n calls one after another and gives how many failed, and the last
// failure.
func calling(t *testing.T, client dicompb.DicomServiceClient, n int, budget time.Duration) (failed int, last error) {
	t.Helper()
	for range n {
		ctx, cancel := context.WithTimeout(t.Context(), budget)
		if _, err := client.GetImagesSummary(ctx, &dicompb.GetImagesSummaryRequest{}); err != nil {
			failed++
			last = err
		}
		cancel()
	}
	return failed, last
}

// atOnce makes n calls from each of so many callers.
func atOnce(t *testing.T, client dicompb.DicomServiceClient, callers, n int, budget time.Duration) (failed int64, last error) {
	t.Helper()
	var all sync.WaitGroup
	var count atomic.Int64
	var mu sync.Mutex
	for range callers {
		all.Go(func() {
			f, err := calling(t, client, n, budget)
			count.Add(int64(f))
			if err != nil {
				mu.Lock()
				last = err
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return count.Load(), last
}

func TestEqualReplicasShareTheWork(t *testing.T) {
	client, servers := dialReplicas(t, 3)
	for _, r := range servers {
		r.delay.Store(int64(time.Millisecond))
	}
	if failed, err := atOnce(t, client, 4, 100, time.Second); failed > 0 {
		t.Fatalf("%d failed: %v", failed, err)
	}
	for i, r := range servers {
		if n := r.calls.Load(); n < 40 {
			t.Errorf("replica %d had %d of 400 calls", i, n)
		}
	}
}

// A replica that dies under load costs nobody a call.
func TestDeadReplicaCostsNoCall(t *testing.T) {
	client, servers := dialReplicas(t, 2)
	for _, r := range servers {
		r.delay.Store(int64(2 * time.Millisecond))
	}
	time.AfterFunc(100*time.Millisecond, servers[0].server.Stop)
	if failed, err := atOnce(t, client, 100, 20, 2*time.Second); failed > 0 {
		t.Errorf("%d of 2000 calls failed: %v", failed, err)
	}
}

// A replica that hangs costs nobody a call, and after a few nobody any time.
func TestHungReplicaCostsNoCall(t *testing.T) {
	client, servers := dialReplicas(t, 2)
	servers[0].delay.Store(-1)
	if failed, err := atOnce(t, client, 100, 3, time.Second); failed > 0 {
		t.Errorf("%d of 300 calls failed: %v", failed, err)
	}
	servers[0].calls.Store(0)
	if failed, err := calling(t, client, 100, time.Second); failed > 0 || servers[0].calls.Load() > 3 {
		t.Errorf("%d of 100 calls failed (%v), %d went to the one that hangs", failed, err, servers[0].calls.Load())
	}
	servers[0].delay.Store(0)
	for end := time.Now().Add(2*ejectFirst + time.Second); ; {
		if calling(t, client, 20, time.Second); servers[0].calls.Load() > 20 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the replica is well again and gets no calls")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A replica a hundred times slower than the other gets few of the calls.
func TestSlowReplicaGetsFewCalls(t *testing.T) {
	client, servers := dialReplicas(t, 2)
	servers[0].delay.Store(int64(100 * time.Millisecond))
	servers[1].delay.Store(int64(time.Millisecond))
	servers[0].calls.Store(0)
	if failed, err := atOnce(t, client, 4, 100, time.Second); failed > 0 || servers[0].calls.Load() > 60 {
		t.Errorf("%d of 400 calls failed (%v), the slow one had %d", failed, err, servers[0].calls.Load())
	}
}

// A replica that says that it is not well gets no call.
func TestUnwellReplicaGetsNoCall(t *testing.T) {
	client, servers := dialReplicas(t, 2)
	servers[0].health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	for end := time.Now().Add(5 * time.Second); ; {
		servers[0].calls.Store(0)
		if calling(t, client, 50, time.Second); servers[0].calls.Load() == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it says NOT_SERVING and is called")
		}
	}
	servers[0].health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	for end := time.Now().Add(5 * time.Second); servers[0].calls.Load() == 0; calling(t, client, 10, time.Second) {
		if time.Now().After(end) {
			t.Fatal("it says SERVING again and is not called")
		}
	}
}

// Hung together, they are one hung service: the time runs out, nothing else.
func TestAllReplicasHungIsATimeout(t *testing.T) {
	client, servers := dialReplicas(t, 2)
	for _, r := range servers {
		r.delay.Store(-1)
	}
	begun := time.Now()
	_, err := calling(t, client, 1, 600*time.Millisecond)
	if status.Code(err) != codes.DeadlineExceeded || time.Since(begun) < 500*time.Millisecond {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
}

// What a caller does itself is nobody else's loss.
func TestOneReplicaIsNeverSentTwice(t *testing.T) {
	client, servers := dialReplicas(t, 1)
	servers[0].calls.Store(0)
	servers[0].delay.Store(int64(400 * time.Millisecond))
	if failed, err := calling(t, client, 1, time.Second); failed > 0 || servers[0].calls.Load() != 1 {
		t.Errorf("%v after %d calls", err, servers[0].calls.Load())
	}
}

// clock is a breaker's time in a test's hand.
type clock struct{ now time.Time }

func testBreaker(t *testing.T) (*breaker, *clock) {
	c := &clock{now: time.Unix(1e9, 0)}
	b := newBreaker(t.Name())
	b.now = func() time.Time { return c.now }
	return b, c
}

var gone = status.Error(codes.Unavailable, "connection refused")

func (c *clock) silence(b *breaker, err error, calls int, d time.Duration) {
	for range calls {
		c.now = c.now.Add(d / time.Duration(calls))
		b.leave(err, time.Second)
	}
}

func TestBreakerOpensOnLongSilenceOnly(t *testing.T) {
	late := status.Error(codes.DeadlineExceeded, "x")
	for name, c := range map[string]struct {
		err   error
		calls int
		over  time.Duration
		took  time.Duration
		open  bool
	}{
		"200 at once that time out":      {late, 200, 2 * time.Second, time.Second, false},
		"200 in a long time":             {late, 200, 10 * time.Second, time.Second, true},
		"nobody there for long":          {gone, 100, 10 * time.Second, time.Millisecond, true},
		"few calls":                      {late, 5, 10 * time.Second, time.Second, false},
		"callers in haste":               {late, 200, 10 * time.Second, 50 * time.Millisecond, false},
		"callers who leave":              {status.Error(codes.Canceled, "x"), 200, 10 * time.Second, time.Second, false},
		"nonsense":                       {fault.Invalid(fault.ReasonFieldInvalid, "x").GRPCStatus().Err(), 200, 10 * time.Second, time.Second, false},
		"unknown patients":               {status.Error(codes.NotFound, "x"), 200, 10 * time.Second, time.Second, false},
		"no rights":                      {status.Error(codes.PermissionDenied, "x"), 200, 10 * time.Second, time.Second, false},
		"its own downstream is away":     {fault.Unavailable(fault.ReasonUnavailable, "x", time.Second).GRPCStatus().Err(), 200, 10 * time.Second, time.Second, false},
		"too much, says the server":      {status.Error(codes.ResourceExhausted, "x"), 200, 10 * time.Second, time.Second, false},
		"a bug answers, but it answers ": {status.Error(codes.Internal, "x"), 200, 10 * time.Second, time.Second, false},
	} {
		b, clock := testBreaker(t)
		for range c.calls {
			clock.now = clock.now.Add(c.over / time.Duration(c.calls))
			b.leave(c.err, c.took)
		}
		_ = b.enter() // The probe that is due.
		if refused := b.enter() != nil; refused != c.open {
			t.Errorf("%s: open %v", name, refused)
		}
	}
}

func TestBreakerProbesAndCloses(t *testing.T) {
	b, clock := testBreaker(t)
	clock.silence(b, gone, 52, 5200*time.Millisecond)
	err := b.enter()
	isFault(t, err, codes.Unavailable, fault.ReasonUnavailable)
	if fault.From(err).RetryAfter <= 0 || openGauge(t, b) != 1 {
		t.Errorf("it says to come back after %v, the gauge %v", fault.From(err).RetryAfter, openGauge(t, b))
	}
	clock.now = clock.now.Add(probeEvery + time.Millisecond)
	if err := b.enter(); err != nil {
		t.Fatalf("no probe is let pass: %v", err)
	}
	if b.enter() == nil {
		t.Error("two probes at once")
	}
	b.leave(gone, time.Second)
	if b.enter() == nil {
		t.Error("a probe that failed closed it")
	}
	clock.now = clock.now.Add(probeEvery + time.Millisecond)
	if err := b.enter(); err != nil {
		t.Fatal(err)
	}
	b.leave(nil, time.Millisecond)
	if err := b.enter(); err != nil || openGauge(t, b) != 0 {
		t.Errorf("an answer leaves it open: %v", err)
	}
	clock.silence(b, gone, 5, time.Second)
	clock.now = clock.now.Add(2 * silenceForgets)
	clock.silence(b, gone, 20, time.Second)
	if b.enter() != nil {
		t.Error("failures of long ago count")
	}
}

func openGauge(t *testing.T, b *breaker) float64 {
	t.Helper()
	var m dto.Metric
	if err := breakerOpen.WithLabelValues(b.name).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue()
}

func TestTokensBoundWhatIsDoneTwice(t *testing.T) {
	h := newHedger(t.Name(), 3)
	taken := 0
	for range 10 {
		if h.mayHedge() {
			taken++
		}
	}
	for range 20 {
		h.tokens.earn()
	}
	for range 10 {
		if h.mayHedge() {
			taken++
		}
	}
	if taken < 4 || taken > 5 { // 3, and a tenth of 20 calls, less rounding.
		t.Error(fmt.Sprint(taken, " second attempts"))
	}
}
