package rpcserver

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"clinsource/internal/telemetry"
	dicompb "clinsource/proto/dicom"
)

func valueOf(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetGauge().GetValue() + d.GetCounter().GetValue() // One of the two is absent.
}

// TestStreamsAreMeasured: bytes and calls under way, while they are and after.
func TestStreamsAreMeasured(t *testing.T) {
	const method = dicompb.DicomService_UploadDicom_FullMethodName
	inside, release := make(chan struct{}), make(chan struct{})
	f := serve(t, &service{upload: func(s grpc.ClientStreamingServer[dicompb.UploadDicomRequest, dicompb.UploadDicomResponse]) error {
		for {
			if _, err := s.Recv(); err == io.EOF {
				close(inside)
				<-release
				return s.SendAndClose(&dicompb.UploadDicomResponse{Sha256: strings.Repeat("x", 5000)})
			} else if err != nil {
				return err
			}
		}
	}})
	under, in, out := inFlight.WithLabelValues(method), received.WithLabelValues(method), sent.WithLabelValues(method)
	inBefore, outBefore := valueOf(t, in), valueOf(t, out)
	stream, err := f.gateway(t).UploadDicom(f.authorized(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := stream.Send(&dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Chunk{Chunk: make([]byte, 10_000)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	<-inside
	if got := valueOf(t, under); got != 1 {
		t.Errorf("%v streams are under way", got)
	}
	close(release)
	if err := stream.RecvMsg(&dicompb.UploadDicomResponse{}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); valueOf(t, under) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the stream has ended and is under way")
		}
	}
	if got := valueOf(t, in) - inBefore; got < 30_000 || got > 31_000 {
		t.Errorf("%v bytes received of 30000 and their frames", got)
	}
	if got := valueOf(t, out) - outBefore; got < 5_000 || got > 5_100 {
		t.Errorf("%v bytes sent of 5000 and their frame", got)
	}
}

// TestUnknownMethodsMakeNoSeries, whatever a peer asks for.
func TestUnknownMethodsMakeNoSeries(t *testing.T) {
	f := serve(t, &service{summary: func(context.Context) error { return nil }})
	conn := f.as(t, "project-api")
	for _, method := range []string{"/canary.Service/Method", "/dicom.DicomService/Canary"} {
		if err := conn.Invoke(f.authorized(t), method, &dicompb.ListImagesRequest{}, &dicompb.ListImagesResponse{}); err == nil {
			t.Errorf("%s has answered", method)
		}
	}
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if text := strings.ToLower(family.String()); strings.Contains(text, "canary") {
			t.Errorf("%s has series of methods that there are not", family.GetName())
		}
	}
}

func TestHealthSaysTheVersion(t *testing.T) {
	f := serve(t, &service{})
	var header metadata.MD
	_, err := healthpb.NewHealthClient(f.as(t, "suite")).Check(call(t), &healthpb.HealthCheckRequest{}, grpc.Header(&header))
	if err != nil || len(header.Get(telemetry.VersionKey)) != 1 {
		t.Errorf("%v, metadata %v", err, header)
	}
}
