package telemetry

import (
	"context"

	"github.com/zeromicro/go-zero/core/logx"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"clinsource/internal/fault"
)

// The attributes that are ours. There is none for anything of a patient, a
// project or a caller.
const (
	requestIDAttribute = "clinsource.request_id"
	reasonAttribute    = "clinsource.reason"
)

// Span is a piece of work that is traced, or nothing while tracing is off.
type Span struct{ trace.Span }

// Begin begins a piece of work inside the process. what is a constant of the
// code, and with names what it was done with (a database).
func Begin(ctx context.Context, what, with string) (context.Context, Span) {
	t := active.Load()
	if t == nil || !trace.SpanContextFromContext(ctx).IsSampled() { // A background's own writes begin no trace.
		return ctx, Span{noop.Span{}}
	}
	ctx, span := t.tracer.Start(ctx, what, trace.WithAttributes(attribute.String("clinsource.with", with)))
	return ctx, Span{span}
}

// BeginRequest begins the trace of a request from outside. What the caller sent
// as traceparent is left alone: it is not for callers to choose what is traced.
func BeginRequest(ctx context.Context, requestID string) (context.Context, Span) {
	t := active.Load()
	if t == nil {
		return ctx, Span{noop.Span{}}
	}
	ctx, span := t.tracer.Start(ctx, "none", trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String(requestIDAttribute, requestID)))
	return ctx, Span{span}
}

// EndRequest ends it with the route's pattern as its name.
func (s Span) EndRequest(route string, status int, reason string) {
	if s.IsRecording() {
		s.SetName(route)
		s.SetAttributes(attribute.String("http.route", route), attribute.Int("http.response.status_code", status))
		s.note(reason)
		if status >= 500 {
			s.SetStatus(otelcodes.Error, "")
		}
	}
	s.End()
}

// EndWith ends a piece of work with the reason of its error, and not its text.
func (s Span) EndWith(err error) {
	if err != nil && s.IsRecording() {
		s.note(fault.From(err).Reason)
		s.SetStatus(otelcodes.Error, "")
	}
	s.End()
}

func (s Span) note(reason string) {
	if reason != "" {
		s.SetAttributes(attribute.String(reasonAttribute, reason))
	}
}

// Tell adds to the call's span what its interceptor knows.
func Tell(ctx context.Context, requestID, reason string) {
	if s := (Span{trace.SpanFromContext(ctx)}); s.IsRecording() {
		s.SetAttributes(attribute.String(requestIDAttribute, requestID))
		s.note(reason)
	}
}

// Fields names the trace in a log line, beside the request id.
func Fields(ctx context.Context) []logx.LogField {
	if c := trace.SpanContextFromContext(ctx); c.IsValid() {
		return []logx.LogField{logx.Field("trace_id", c.TraceID().String())}
	}
	return nil
}
