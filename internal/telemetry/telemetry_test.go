package telemetry

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/trace"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"clinsource/internal/devcert"
	"clinsource/internal/fault"
	"clinsource/internal/mtls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

// sink keeps the spans that come to it by mutual TLS.
type sink struct {
	collectorpb.UnimplementedTraceServiceServer
	spans chan *tracepb.Span
}

func (s *sink) Export(_ context.Context, r *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	for _, resource := range r.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				s.spans <- span
			}
		}
	}
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

// collect starts a sink and gives the config that leads to it.
func collect(t *testing.T) (*sink, Config) {
	t.Helper()
	dir := t.TempDir()
	if _, err := devcert.Ensure(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	side, err := mtls.NewServer(mtls.ServerFiles{CertFile: file("etcd.crt"), KeyFile: file("etcd.key"), ClientCaFile: file("ca.crt")})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{spans: make(chan *tracepb.Span, 100)}
	server := grpc.NewServer(grpc.Creds(side.Credentials()))
	collectorpb.RegisterTraceServiceServer(server, s)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return s, Config{Endpoint: l.Addr().String(), Sample: 1, Tls: mtls.ClientFiles{
		ServerName: "etcd", CaFile: file("ca.crt"), CertFile: file("suite.crt"), KeyFile: file("suite.key")}}
}

func start(t *testing.T, c Config) {
	t.Helper()
	if err := Start("test", c, trace.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestStartRefuses(t *testing.T) {
	_, good := collect(t)
	url, noFiles := good, good
	url.Endpoint = "https://collector:4317"
	noFiles.Tls.KeyFile = ""
	for name, c := range map[string]struct {
		ours   Config
		theirs trace.Config
		want   string
	}{
		"a URL":     {ours: url, want: "host:port"},
		"no TLS":    {ours: noFiles, want: "TLS cannot be left out"},
		"go-zero's": {theirs: trace.Config{Endpoint: "jaeger:4317"}, want: "Traces"},
	} {
		if err := Start("test", c.ours, c.theirs); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if active.Load() != nil {
			t.Errorf("%s: it traces", name)
		}
	}
}

// Off is off: contexts stay as they are, and no metadata is added.
func TestOffCostsNothing(t *testing.T) {
	ctx := t.Context()
	handler := ClientHandler()
	if got := handler.TagRPC(ctx, &stats.RPCTagInfo{FullMethodName: "/a.B/C"}); got != ctx {
		t.Error("the client's context has changed")
	}
	handler.HandleRPC(ctx, &stats.End{})
	if got, span := Begin(ctx, "x", "y"); got != ctx || span.IsRecording() {
		t.Error("a piece of work is traced")
	}
	if got, _ := BeginRequest(ctx, "id"); got != ctx || Fields(got) != nil {
		t.Error("a request is traced")
	}
}

// TestHopsAreOneTrace passes a call's metadata from a client's handler to a
// server's, as gRPC does.
func TestHopsAreOneTrace(t *testing.T) {
	s, c := collect(t)
	start(t, c)
	const method = "/a.B/C"
	ctx, request := BeginRequest(t.Context(), "req-1")
	client, server := ClientHandler(), ServerHandler(func(m string) bool { return m == method })
	out := client.TagRPC(ctx, &stats.RPCTagInfo{FullMethodName: method})
	md, _ := metadata.FromOutgoingContext(out)
	if len(md.Get("traceparent")) != 1 || len(md) != 1 {
		t.Errorf("the metadata are %v", md)
	}
	md.Set("tracestate", "x=canary")
	in := server.TagRPC(metadata.NewIncomingContext(t.Context(), md), &stats.RPCTagInfo{FullMethodName: method})
	Tell(in, "req-1", "")
	_, write := Begin(in, "sql write", "vitals")
	write.EndWith(fault.Unavailable(fault.ReasonOverloaded, "canary", 0))
	refusal := fault.NotFound(fault.ReasonSubjectNotFound, "canary").GRPCStatus().Err()
	server.HandleRPC(in, &stats.End{Error: refusal})
	client.HandleRPC(out, &stats.End{Client: true, Error: status.Error(codes.Unavailable, "canary")})
	request.EndRequest("GET /x/:y", 503, fault.ReasonUnavailable)
	if unknown := server.TagRPC(t.Context(), &stats.RPCTagInfo{FullMethodName: "/canary"}); unknown != t.Context() {
		t.Error("a call to an unknown method is traced")
	}
	if err := Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	byName := map[string]*tracepb.Span{}
	for len(s.spans) > 0 {
		span := <-s.spans
		if strings.Contains(span.String(), "canary") {
			t.Errorf("it says more than it may: %v", span)
		}
		byName[span.GetName()+" "+span.GetKind().String()] = span
	}
	chain := []string{"GET /x/:y SPAN_KIND_SERVER", "a.B/C SPAN_KIND_CLIENT", "a.B/C SPAN_KIND_SERVER", "sql write SPAN_KIND_INTERNAL"}
	for i, name := range chain {
		span := byName[name]
		if span == nil || i > 0 && string(span.GetParentSpanId()) != string(byName[chain[i-1]].GetSpanId()) {
			t.Fatalf("%s is not there, or not below the one before: %v", name, byName)
		}
	}
	for name, isError := range map[string]bool{chain[0]: true, chain[1]: true, chain[2]: false, chain[3]: true} {
		st := byName[name].GetStatus()
		if (st.GetCode() == tracepb.Status_STATUS_CODE_ERROR) != isError || st.GetMessage() != "" {
			t.Errorf("%s has the status %v", name, st)
		}
	}
	if text := byName[chain[2]].String(); !strings.Contains(text, fault.ReasonSubjectNotFound) || !strings.Contains(text, "req-1") {
		t.Errorf("reason or request id is missing: %s", text)
	}
}

// TestACollectorThatIsAwayStopsNothing: spans end, and so does the process.
func TestACollectorThatIsAwayStopsNothing(t *testing.T) {
	_, c := collect(t)
	c.Endpoint = "127.0.0.1:1"
	start(t, c)
	for range 3 * queued {
		_, span := BeginRequest(t.Context(), "id")
		span.EndRequest("GET /", 200, "")
	}
}

func TestNotSampledIsNotSent(t *testing.T) {
	s, c := collect(t)
	c.Sample = 0
	start(t, c)
	ctx, span := BeginRequest(t.Context(), "id")
	out := ClientHandler().TagRPC(ctx, &stats.RPCTagInfo{FullMethodName: "/a.B/C"})
	ClientHandler().HandleRPC(out, &stats.End{})
	if len(Fields(ctx)) != 1 {
		t.Error("its lines have no trace id")
	}
	span.EndRequest("GET /", 200, "")
	if err := Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.spans) > 0 {
		t.Errorf("%d spans were sent", len(s.spans))
	}
}
