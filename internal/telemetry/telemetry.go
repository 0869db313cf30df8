// Package telemetry is what a process tells of itself beside its log: which build
// it is (a metric) and, where an operator names a collector, OpenTelemetry traces
// of each request over all hops: gateway, gRPC calls, writes.
//
// A span says what was done, never for whom: its name is the route's pattern or
// the method, its attributes are the code, the reason and the request id. go-zero's
// own tracing is off, because it puts paths, peers' addresses and the texts of
// errors into spans, and exports them without TLS.
//
// Tracing costs a request nothing but the making of its spans. They wait in a
// bounded queue, what does not fit is dropped, and a collector that is away or
// slow is given five seconds a batch beside the requests.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeromicro/go-zero/core/logx"
	zerotrace "github.com/zeromicro/go-zero/core/trace"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"clinsource/internal/mtls"
)

// Config is the `Traces:` block. Left out, nothing is traced.
type Config struct {
	Endpoint string           // host:port of an OTLP collector (gRPC), always by TLS.
	Sample   float64          `json:",default=1,range=[0:1]"` // Which part of the requests is traced.
	Tls      mtls.ClientFiles // The collector's name and authority, and this process's certificate, shown if it is asked for.
}

// Check reads the files that the config names, without connecting.
func (c Config) Check() error {
	if c.Endpoint == "" {
		return nil
	}
	if host, port, err := net.SplitHostPort(c.Endpoint); err != nil || host == "" || port == "" {
		return fmt.Errorf("Traces.Endpoint: %q is not host:port: write it without a scheme, as in collector:4317", c.Endpoint)
	}
	if _, err := mtls.NewClient(c.Tls); err != nil {
		return fmt.Errorf("Traces.Tls: %w", err)
	}
	return nil
}

// Bounds that no config changes.
const (
	queued       = 2048 // Spans that wait; more are dropped.
	batch        = 512
	batchEvery   = time.Second
	exportWithin = 5 * time.Second
	stopWithin   = 2 * time.Second
)

var (
	exported = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "clinsource_traces_exported_spans_total", Help: "Spans that the collector has taken.",
	})
	failed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "clinsource_traces_export_failures_total", Help: "Batches of spans that the collector did not take; they are dropped.",
	})
)

func init() { prometheus.MustRegister(exported, failed) }

// tracing is what there is while tracing is on.
type tracing struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	close    func() error
}

var active atomic.Pointer[tracing]

// Start tells the build of the service and begins to trace, if an endpoint is
// configured. theirs is go-zero's own Telemetry block, which is refused.
func Start(service string, c Config, theirs zerotrace.Config) error {
	identify(service)
	if theirs.Endpoint != "" {
		return errors.New("Telemetry: go-zero's exporter sends paths and error texts without TLS; configure Traces (Endpoint, Tls) in its place")
	}
	if err := c.Check(); err != nil || c.Endpoint == "" {
		return err
	}
	client, err := dial(c)
	if err != nil {
		return err
	}
	otel.SetErrorHandler(&complaints{})
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.Sample))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.namespace", "clinsource"), attribute.String("service.name", service), attribute.String("service.version", Version()))),
		sdktrace.WithBatcher(otlptrace.NewUnstarted(client), sdktrace.WithMaxQueueSize(queued), sdktrace.WithMaxExportBatchSize(batch),
			sdktrace.WithBatchTimeout(batchEvery), sdktrace.WithExportTimeout(exportWithin)))
	active.Store(&tracing{provider: provider, tracer: provider.Tracer("clinsource"), close: client.conn.Close})
	return nil
}

// Stop sends what waits, within two seconds, and ends tracing. It is called last,
// after the calls have ended.
func Stop(ctx context.Context) error {
	t := active.Swap(nil)
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		logx.Errorf("the last spans are lost: %v", err)
	}
	return t.close()
}

// complaints counts each failed export and logs the first of every minute.
type complaints struct{ last atomic.Int64 }

// Handle implements otel.ErrorHandler.
func (c *complaints) Handle(err error) {
	failed.Inc()
	now, last := time.Now().Unix(), c.last.Load()
	if now-last >= 60 && c.last.CompareAndSwap(last, now) {
		logx.Errorf("traces are not exported: %v", err)
	}
}
