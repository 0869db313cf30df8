package rpcserver

import (
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

// A stream that waits for its caller when the server is about to stop is handed
// back to its handler, which can still say how far it came.
func TestStreamsAreEndedBeforeTheStop(t *testing.T) {
	got := make(chan error, 1)
	f := serve(t, &service{upload: func(s grpc.ClientStreamingServer[dicompb.UploadDicomRequest, dicompb.UploadDicomResponse]) error {
		for {
			if _, err := s.Recv(); err != nil {
				got <- err
				return s.SendAndClose(&dicompb.UploadDicomResponse{Sha256: "so far"})
			}
		}
	}})
	stream, err := f.gateway(t).UploadDicom(f.authorized(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&dicompb.UploadDicomRequest{}); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, f.guard.endStreams)
	var out dicompb.UploadDicomResponse
	if err := stream.RecvMsg(&out); err != nil || out.GetSha256() != "so far" {
		t.Errorf("the caller is told %v, %v", &out, err)
	}
	isFault(t, <-got, codes.Unavailable, fault.ReasonUnavailable)
}
