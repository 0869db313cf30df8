package telemetry

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"clinsource/internal/callinfo"
	"clinsource/internal/fault"
)

// ClientHandler traces the calls of a gRPC client: one span an attempt, so that
// retries are seen. A stats handler rather than an interceptor, because it ends
// a stream's span whatever way the stream ends.
func ClientHandler() stats.Handler { return clientHandler{} }

// ServerHandler traces the calls of a gRPC server whose methods known names:
// what else a peer may ask for is not repeated.
func ServerHandler(known func(method string) bool) stats.Handler { return serverHandler{known: known} }

// conns is the part of a stats handler that is about connections: nothing.
type conns struct{}

type clientHandler struct{ conns }

type serverHandler struct {
	conns
	known func(method string) bool
}

var w3c propagation.TraceContext

// TagRPC implements stats.Handler.
func (clientHandler) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	t := active.Load()
	if t == nil || isHealth(info.FullMethodName) {
		return ctx
	}
	ctx, _ = t.tracer.Start(ctx, nameOf(info.FullMethodName), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String(requestIDAttribute, callinfo.RequestID(ctx))))
	md, _ := metadata.FromOutgoingContext(ctx)
	md = md.Copy()
	w3c.Inject(ctx, carrier(md))
	return metadata.NewOutgoingContext(context.WithValue(ctx, clientKey{}, trace.SpanFromContext(ctx)), md)
}

// TagRPC implements stats.Handler. The peer has shown its certificate: the trace
// that it is in is taken up, the free text beside it (tracestate, baggage) is not.
func (h serverHandler) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	t := active.Load()
	if t == nil || !h.known(info.FullMethodName) { // gRPC never tells the end of a call to an unknown method.
		return ctx
	}
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		parent := trace.SpanContextFromContext(w3c.Extract(ctx, carrier(md)))
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent.WithTraceState(trace.TraceState{}))
	}
	ctx, _ = t.tracer.Start(ctx, nameOf(info.FullMethodName), trace.WithSpanKind(trace.SpanKindServer))
	return context.WithValue(ctx, serverKey{}, trace.SpanFromContext(ctx))
}

// The spans that a handler has begun and is to end, and no other: the context of
// a call that is not traced may hold its caller's.
type (
	clientKey struct{}
	serverKey struct{}
)

// HandleRPC implements stats.Handler.
func (clientHandler) HandleRPC(ctx context.Context, s stats.RPCStats) { conclude(ctx, clientKey{}, s) }

// HandleRPC implements stats.Handler.
func (serverHandler) HandleRPC(ctx context.Context, s stats.RPCStats) { conclude(ctx, serverKey{}, s) }

func conclude(ctx context.Context, key any, s stats.RPCStats) {
	end, ended := s.(*stats.End)
	span, own := ctx.Value(key).(trace.Span)
	if !ended || !own {
		return
	}
	if span.IsRecording() {
		code := status.Code(end.Error)
		span.SetAttributes(attribute.String("rpc.system", "grpc"), attribute.Int("rpc.grpc.status_code", int(code)))
		if end.Error != nil {
			Span{span}.note(fault.From(end.Error).Reason)
		}
		if ours(code) {
			span.SetStatus(otelcodes.Error, "")
		}
	}
	span.End()
}

// ours says whether a code blames the part that answers rather than its caller.
func ours(code codes.Code) bool {
	switch code {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		return true
	}
	return false
}

// TagConn implements stats.Handler.
func (conns) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (conns) HandleConn(context.Context, stats.ConnStats) {}

func nameOf(method string) string { return strings.TrimPrefix(method, "/") }

func isHealth(method string) bool { return strings.HasPrefix(method, "/grpc.health.") }

// carrier is gRPC metadata as a propagator sees them.
type carrier metadata.MD

// Get implements propagation.TextMapCarrier.
func (c carrier) Get(key string) string {
	if values := metadata.MD(c).Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Set implements propagation.TextMapCarrier.
func (c carrier) Set(key, value string) { metadata.MD(c).Set(key, value) }

// Keys implements propagation.TextMapCarrier.
func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}
