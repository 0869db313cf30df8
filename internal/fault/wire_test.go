package fault_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"clinsource/internal/fault"
)

// failing is a server that fails as it is told, through From as rpcserver does.
type failing struct {
	healthpb.UnimplementedHealthServer
	err error
}

func (f *failing) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return nil, fault.From(f.err).GRPCStatus().Err()
}

// TestFaultsCrossTheWire sends every kind of fault over a real hop and back.
func TestFaultsCrossTheWire(t *testing.T) {
	server := &failing{}
	call := dialed(t, server)
	two := []fault.Violation{{Field: "a.b[2]", Rule: "r.one", Message: "must be 1"}, {Field: "温度", Rule: "r.two", Message: "必须是数字"}}
	stale := fault.Precondition(fault.ReasonWithdrawn, "withdrawn")
	stale.Violations = two[:1]
	for _, sent := range []*fault.Error{
		fault.Invalid(fault.ReasonBodyInvalid, "no JSON"),
		fault.InvalidFields(two),
		fault.Unauthenticated(fault.ReasonTokenMissing, "no token"),
		fault.Denied(fault.ReasonRoleForbids, "not you"),
		fault.NotFound(fault.ReasonSubjectNotFound, "nobody"),
		fault.Exists(fault.ReasonIDTaken, "taken"),
		fault.Precondition(fault.ReasonWithdrawn, "withdrawn"),
		stale,
		fault.Exhausted(fault.ReasonStorageFull, "full", time.Minute),
		fault.Unavailable(fault.ReasonOverloaded, "busy", 1500*time.Millisecond),
		fault.DeadlineExceeded("late"),
		fault.Canceled(),
		fault.Unimplemented("not here"),
		fault.DataLoss(fault.ReasonCorrupt, "damaged"),
		fault.Internal(nil),
	} {
		t.Run(sent.Code.String()+" "+sent.Reason, func(t *testing.T) {
			server.err = fmt.Errorf("wrapped: %w", sent.Because(errors.New("SELECT secret")))
			got := fault.From(fmt.Errorf("asking: %w", call(t)))
			if diff := cmp.Diff(see(sent), see(got)); diff != "" {
				t.Errorf("-sent +got:\n%s", diff)
			}
		})
	}
}

func dialed(t *testing.T, server healthpb.HealthServer) (call func(*testing.T) error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	healthpb.RegisterHealthServer(g, server)
	go func() { _ = g.Serve(listener) }()
	t.Cleanup(g.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func(t *testing.T) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
		return err
	}
}
