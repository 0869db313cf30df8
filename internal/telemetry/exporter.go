package telemetry

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"clinsource/internal/mtls"
)

// collector sends spans to an OTLP collector. It stands in for otlptracegrpc,
// which lets the environment (OTEL_EXPORTER_OTLP_...) turn TLS off and retries a
// batch for a minute.
type collector struct {
	conn   *grpc.ClientConn
	client collectorpb.TraceServiceClient
}

var _ otlptrace.Client = (*collector)(nil)

// dial does not wait for the collector.
func dial(c Config) (*collector, error) {
	files, err := mtls.NewClient(c.Tls)
	if err != nil {
		return nil, fmt.Errorf("Traces.Tls: %w", err)
	}
	conn, err := grpc.NewClient(c.Endpoint, grpc.WithTransportCredentials(files.Credentials()), grpc.WithNoProxy())
	if err != nil {
		return nil, fmt.Errorf("Traces.Endpoint: %w", err)
	}
	return &collector{conn: conn, client: collectorpb.NewTraceServiceClient(conn)}, nil
}

// Start implements otlptrace.Client: gRPC connects by itself.
func (c *collector) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client: the package's Stop closes the connection.
func (c *collector) Stop(context.Context) error { return nil }

// UploadTraces implements otlptrace.Client, once and within its time: what the
// collector does not take is lost, spans are no records.
func (c *collector) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	ctx, cancel := context.WithTimeout(ctx, exportWithin)
	defer cancel()
	resp, err := c.client.Export(ctx, &collectorpb.ExportTraceServiceRequest{ResourceSpans: spans})
	if err != nil {
		return err
	}
	n := 0
	for _, r := range spans {
		for _, s := range r.GetScopeSpans() {
			n += len(s.GetSpans())
		}
	}
	refused := resp.GetPartialSuccess().GetRejectedSpans()
	exported.Add(float64(n) - float64(refused))
	if refused > 0 {
		return fmt.Errorf("the collector refused %d of %d spans", refused, n)
	}
	return nil
}
