package observe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"clinsource/internal/devcert"
)

const sinkAddr = "127.0.0.1:4317"

// sink is an OTLP collector by mutual TLS that keeps what it gets. It shows the
// certificate of etcd, which stands in for a collector's own.
type sink struct {
	collectorpb.UnimplementedTraceServiceServer
	server *grpc.Server

	mu    sync.Mutex
	raw   []byte
	spans []span
	hang  chan struct{} // While it is not nil, nothing is answered.
	hung  int
}

// span is a span with the service that it is of.
type span struct {
	*tracepb.Span
	service string
}

func (s span) attribute(key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

func newSink(certs string) (*sink, error) {
	if _, err := devcert.Ensure(certs, time.Now()); err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(certs+"/etcd.crt", certs+"/etcd.key")
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(certs + "/ca.crt")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	s := &sink{server: grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	})))}
	collectorpb.RegisterTraceServiceServer(s.server, s)
	l, err := net.Listen("tcp", sinkAddr)
	if err != nil {
		return nil, err
	}
	go func() { _ = s.server.Serve(l) }()
	return s, nil
}

func (s *sink) stop() { s.server.Stop() }

// Export implements the collector.
func (s *sink) Export(ctx context.Context, r *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	hang := s.hang
	if hang != nil {
		s.hung++
	}
	s.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
		}
		return nil, ctx.Err()
	}
	raw, err := proto.Marshal(r)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw = append(s.raw, raw...)
	for _, resource := range r.GetResourceSpans() {
		service := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, sp := range scope.GetSpans() {
				s.spans = append(s.spans, span{sp, service})
			}
		}
	}
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

// bytes is all that was exported so far.
func (s *sink) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.raw)
}

// of gives the spans of one trace.
func (s *sink) of(trace []byte) (spans []span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sp := range s.spans {
		if slices.Equal(sp.GetTraceId(), trace) {
			spans = append(spans, sp)
		}
	}
	return spans
}

// root gives the gateway's span of a request.
func (s *sink) root(requestID string) (span, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.spans, func(sp span) bool {
		return sp.service == "project-api" && len(sp.GetParentSpanId()) == 0 && sp.attribute("clinsource.request_id") == requestID
	})
	if i < 0 {
		return span{}, false
	}
	return s.spans[i], true
}

// hangUp lets the collector take calls and answer none, until the function that
// it gives is called.
func (s *sink) hangUp() (resume func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hang := make(chan struct{})
	s.hang = hang
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(hang)
		s.hang = nil
	}
}

func (s *sink) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hung
}
