package rpcserver

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

// waits is a handler that works until its context ends.
func waits(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestTheServerAnswersItself: whoever's limit is nearer wins, and the answer
// with its reason arrives before the caller's own clock speaks.
func TestTheServerAnswersItself(t *testing.T) {
	f := serve(t, &service{summary: waits})
	client := f.gateway(t)
	for name, c := range map[string]struct{ callers, least, most time.Duration }{
		"the caller's is nearer": {150 * time.Millisecond, 100 * time.Millisecond, 149 * time.Millisecond},
		"the service's is":       {5 * time.Second, 290 * time.Millisecond, 2 * time.Second},
		"the caller has none":    {0, 290 * time.Millisecond, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			// A first call, so that no handshake takes the caller's time.
			if _, err := client.GetImagesSummary(f.authorized(t), &dicompb.GetImagesSummaryRequest{}); err == nil {
				t.Fatal("the handler does not wait")
			}
			var err error
			var took time.Duration
			for range 10 { // On a busy machine 20 ms are not always enough; without them no try succeeds.
				start := time.Now()
				err = summaryWithin(t, f, client, c.callers)
				if took = time.Since(start); len(status.Convert(err).Details()) > 0 && took >= c.least && took <= c.most {
					isFault(t, err, codes.DeadlineExceeded, fault.ReasonTimeout)
					return
				}
			}
			t.Errorf("the last of 10 took %v, want %v to %v, with the server's own answer; it is %v", took, c.least, c.most, err)
		})
	}
}

// summaryWithin calls with a deadline, or with none if it is 0.
func summaryWithin(t *testing.T, f *fixture, client dicompb.DicomServiceClient, deadline time.Duration) error {
	ctx := context.WithoutCancel(f.authorized(t))
	if deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline)
		defer cancel()
	}
	_, err := client.GetImagesSummary(ctx, &dicompb.GetImagesSummaryRequest{})
	return err
}

func TestTooLateACallNeverReachesTheHandler(t *testing.T) {
	var reached atomic.Int64
	f := serve(t, &service{summary: func(context.Context) error { reached.Add(1); return nil }})
	client := f.gateway(t)
	if _, err := client.GetImagesSummary(f.authorized(t), &dicompb.GetImagesSummaryRequest{}); err != nil {
		t.Fatal(err)
	}
	reached.Store(0)
	for range 20 {
		ctx, cancel := context.WithTimeout(f.authorized(t), answerMargin-time.Millisecond)
		_, err := client.GetImagesSummary(ctx, &dicompb.GetImagesSummaryRequest{})
		cancel()
		isFault(t, err, codes.DeadlineExceeded, fault.ReasonTimeout)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d calls without time to answer reached the handler", n)
	}
}

type uploading = grpc.ClientStreamingServer[dicompb.UploadDicomRequest, dicompb.UploadDicomResponse]

// drains takes an upload to its end.
func drains(s uploading) error {
	for {
		switch _, err := s.Recv(); err {
		case nil:
		case io.EOF:
			return s.SendAndClose(&dicompb.UploadDicomResponse{Success: true})
		default:
			return err
		}
	}
}

func chunk(size int) *dicompb.UploadDicomRequest {
	return &dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Chunk{Chunk: make([]byte, size)}}
}

func TestASilentUploadEnds(t *testing.T) {
	ended := make(chan error, 1)
	f := serve(t, &service{upload: func(s uploading) error {
		err := drains(s)
		ended <- err
		return err
	}}, WithIdleLimit(100*time.Millisecond))
	stream, err := f.gateway(t).UploadDicom(f.authorized(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(chunk(1)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err = stream.RecvMsg(&dicompb.UploadDicomResponse{})
	isFault(t, err, codes.DeadlineExceeded, fault.ReasonTimeout)
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	isFault(t, <-ended, codes.DeadlineExceeded, fault.ReasonTimeout)
}

// TestASlowUploadMayGoOn: the limit is on silence, not on the whole, neither
// the stream's nor the service's for unary calls.
func TestASlowUploadMayGoOn(t *testing.T) {
	f := serve(t, &service{upload: drains}, WithIdleLimit(200*time.Millisecond))
	stream, err := f.gateway(t).UploadDicom(f.authorized(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := stream.Send(chunk(1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(60 * time.Millisecond)
	}
	if resp, err := stream.CloseAndRecv(); err != nil || !resp.GetSuccess() {
		t.Errorf("after 600 ms: %v, %v", resp, err)
	}
}

func TestAReaderThatDoesNotReadEnds(t *testing.T) {
	ended := make(chan error, 1)
	f := serve(t, &service{download: func(s grpc.ServerStreamingServer[dicompb.DownloadDicomResponse]) error {
		for {
			err := s.Send(&dicompb.DownloadDicomResponse{Data: &dicompb.DownloadDicomResponse_Chunk{Chunk: make([]byte, 64<<10)}})
			if err != nil {
				ended <- err
				return err
			}
		}
	}}, WithIdleLimit(100*time.Millisecond))
	if _, err := f.gateway(t).DownloadDicom(f.authorized(t), &dicompb.DownloadDicomRequest{}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		isFault(t, err, codes.DeadlineExceeded, fault.ReasonTimeout)
	case <-time.After(5 * time.Second):
		t.Error("the handler still waits for a caller who does not read")
	}
}

func TestMessagesAreBounded(t *testing.T) {
	f := serve(t, &service{upload: drains})
	for size, good := range map[int]bool{1 << 20: true, maxMessage - 64: true, maxMessage + 1: false} {
		stream, err := f.gateway(t).UploadDicom(f.authorized(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(chunk(size))
		resp, err := stream.CloseAndRecv()
		if good && (err != nil || !resp.GetSuccess()) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if !good {
			isFault(t, err, codes.ResourceExhausted, fault.ReasonOverloaded)
		}
	}
}
