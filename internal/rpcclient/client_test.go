package rpcclient

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/zeromicro/go-zero/core/discov"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"clinsource/internal/callinfo"
	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

type (
	uploading   = grpc.ClientStreamingServer[dicompb.UploadDicomRequest, dicompb.UploadDicomResponse]
	downloading = grpc.ServerStreamingServer[dicompb.DownloadDicomResponse]
)

// downstream is a server whose methods a test gives.
type downstream struct {
	dicompb.UnimplementedDicomServiceServer
	summary  func(context.Context) error
	upload   func(uploading) error
	download func(downloading) error
}

func (d *downstream) GetImagesSummary(ctx context.Context, _ *dicompb.GetImagesSummaryRequest) (*dicompb.GetImagesSummaryResponse, error) {
	return &dicompb.GetImagesSummaryResponse{}, d.summary(ctx)
}

func (d *downstream) UploadDicom(s uploading) error { return d.upload(s) }

func (d *downstream) DownloadDicom(_ *dicompb.DownloadDicomRequest, s downloading) error {
	return d.download(s)
}

// dial gives a client of d by the rules of New, with so many places. Certificates
// and discovery are left out: mtls and discovery test those.
func dial(t *testing.T, d *downstream, places int) (dicompb.DicomServiceClient, *bulkhead) {
	t.Helper()
	return dialWith(t, d, places, RetryPolicy(dicompb.DicomService_ServiceDesc.ServiceName))
}

func dialWith(t *testing.T, d *downstream, places int, policy string) (dicompb.DicomServiceClient, *bulkhead) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	dicompb.RegisterDicomServiceServer(server, d)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })

	b := newBulkhead(t.Name(), places)
	options := append(rules(b, policy),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient(listener.Addr().String(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return dicompb.NewDicomServiceClient(conn), b
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func isFault(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	if got := fault.From(err); got == nil || got.Code != code || got.Reason != reason {
		t.Errorf("the answer is %v, want %s %s", err, code, reason)
	}
}

// isEmpty waits until no call holds a place: a cancelled stream leaves beside
// whoever cancelled it.
func isEmpty(t *testing.T, b *bulkhead) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); len(b.places) > 0 || gauge(t, b) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d places are held and the gauge says %v", len(b.places), gauge(t, b))
		}
	}
}

func gauge(t *testing.T, b *bulkhead) float64 {
	t.Helper()
	var m dto.Metric
	if err := b.gauge.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue()
}

func TestNoCallWithoutALimit(t *testing.T) {
	d := &downstream{
		summary:  func(context.Context) error { t.Error("the call went out"); return nil },
		download: func(downloading) error { t.Error("the stream went out"); return nil },
	}
	client, b := dial(t, d, 1)
	cancellable, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range 3 { // A refusal gives its place back.
		_, err := client.GetImagesSummary(cancellable, &dicompb.GetImagesSummaryRequest{})
		isFault(t, err, codes.InvalidArgument, fault.ReasonNoDeadline)
		_, err = client.DownloadDicom(context.Background(), &dicompb.DownloadDicomRequest{})
		isFault(t, err, codes.InvalidArgument, fault.ReasonNoDeadline)
	}
	isEmpty(t, b)
}

func TestFullIsRefusedAtOnce(t *testing.T) {
	release := make(chan struct{})
	inside := make(chan struct{}, 2)
	d := &downstream{summary: func(context.Context) error { inside <- struct{}{}; <-release; return nil }}
	client, b := dial(t, d, 2)
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() {
			if _, err := client.GetImagesSummary(within(t), &dicompb.GetImagesSummaryRequest{}); err != nil {
				t.Error(err)
			}
		})
		<-inside
	}
	start := time.Now()
	_, err := client.GetImagesSummary(within(t), &dicompb.GetImagesSummaryRequest{})
	isFault(t, err, codes.Unavailable, fault.ReasonOverloaded)
	_, err = client.UploadDicom(within(t))
	isFault(t, err, codes.Unavailable, fault.ReasonOverloaded)
	if took := time.Since(start); took > 100*time.Millisecond || fault.From(err).RetryAfter <= 0 {
		t.Errorf("it took %v and says to come back after %v", took, fault.From(err).RetryAfter)
	}
	close(release)
	calls.Wait()
	isEmpty(t, b)
	go func() { <-inside }()
	if _, err := client.GetImagesSummary(within(t), &dicompb.GetImagesSummaryRequest{}); err != nil {
		t.Errorf("the places are free and it says %v", err)
	}
}

// TestStreamsGiveTheirPlaceBack, however they end.
func TestStreamsGiveTheirPlaceBack(t *testing.T) {
	sendsTwo := func(s downloading) error {
		for range 2 {
			if err := s.Send(&dicompb.DownloadDicomResponse{}); err != nil {
				return err
			}
		}
		return nil
	}
	hangs := func(s downloading) error { <-s.Context().Done(); return nil }
	cases := map[string]struct {
		d   *downstream
		use func(*testing.T, context.Context, context.CancelFunc, dicompb.DicomServiceClient, *bulkhead)
	}{
		"download to its end": {&downstream{download: sendsTwo}, func(t *testing.T, ctx context.Context, _ context.CancelFunc, c dicompb.DicomServiceClient, b *bulkhead) {
			stream, err := c.DownloadDicom(ctx, &dicompb.DownloadDicomRequest{})
			for n := 0; err == nil; n++ {
				if len(b.places) != 1 {
					t.Errorf("after %d messages %d places are held", n, len(b.places))
				}
				_, err = stream.Recv()
			}
			if err != io.EOF {
				t.Error(err)
			}
		}},
		"download that fails": {&downstream{download: func(downloading) error { return status.Error(codes.NotFound, "x") }}, func(t *testing.T, ctx context.Context, _ context.CancelFunc, c dicompb.DicomServiceClient, _ *bulkhead) {
			stream, err := c.DownloadDicom(ctx, &dicompb.DownloadDicomRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); status.Code(err) != codes.NotFound {
				t.Error(err)
			}
		}},
		"download given up": {&downstream{download: hangs}, func(t *testing.T, ctx context.Context, cancel context.CancelFunc, c dicompb.DicomServiceClient, _ *bulkhead) {
			if _, err := c.DownloadDicom(ctx, &dicompb.DownloadDicomRequest{}); err != nil {
				t.Fatal(err)
			}
			cancel()
		}},
		"upload": {&downstream{upload: func(s uploading) error { return s.SendAndClose(&dicompb.UploadDicomResponse{}) }}, func(t *testing.T, ctx context.Context, _ context.CancelFunc, c dicompb.DicomServiceClient, _ *bulkhead) {
			stream, err := c.UploadDicom(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.CloseAndRecv(); err != nil {
				t.Error(err)
			}
		}},
		"upload refused on the way": {&downstream{upload: func(uploading) error { return status.Error(codes.NotFound, "x") }}, func(t *testing.T, ctx context.Context, _ context.CancelFunc, c dicompb.DicomServiceClient, _ *bulkhead) {
			stream, err := c.UploadDicom(ctx)
			for err == nil {
				err = stream.Send(&dicompb.UploadDicomRequest{})
			}
			if err != io.EOF {
				t.Error(err)
			}
			if err := stream.RecvMsg(&dicompb.UploadDicomResponse{}); status.Code(err) != codes.NotFound {
				t.Error(err)
			}
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			client, b := dial(t, c.d, 1)
			for range 3 { // With one place, a leak shows at the second.
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				c.use(t, ctx, cancel, client, b)
				isEmpty(t, b) // Before the context ends.
				cancel()
			}
		})
	}
}

// TestRetriesOnlyWhatWasAway, for streams too as long as nothing came back.
func TestRetriesOnlyWhatWasAway(t *testing.T) {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		t.Run(code.String(), func(t *testing.T) {
			var calls, streams atomic.Int64
			client, b := dial(t, &downstream{
				summary:  func(context.Context) error { calls.Add(1); return status.Error(code, "x") },
				download: func(downloading) error { streams.Add(1); return status.Error(code, "x") },
			}, 1)
			want := int64(1)
			if code == codes.Unavailable {
				want = 3
			}
			_, err := client.GetImagesSummary(within(t), &dicompb.GetImagesSummaryRequest{})
			if status.Code(err) != code || calls.Load() != want {
				t.Errorf("a call is tried %d times, want %d, and gives %v", calls.Load(), want, err)
			}
			stream, err := client.DownloadDicom(within(t), &dicompb.DownloadDicomRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			if status.Code(err) != code || streams.Load() != want {
				t.Errorf("a stream is tried %d times, want %d, and gives %v", streams.Load(), want, err)
			}
			isEmpty(t, b)
		})
	}
}

func TestRetryPolicyIsJSON(t *testing.T) {
	var policy struct {
		LoadBalancingConfig []map[string]any
		RetryThrottling     struct{ MaxTokens, TokenRatio float64 }
		MethodConfig        []struct {
			Name        []struct{ Service string }
			RetryPolicy struct {
				MaxAttempts          int
				RetryableStatusCodes []string
			}
		}
	}
	if err := json.Unmarshal([]byte(RetryPolicy("a.A", `b"B`)), &policy); err != nil {
		t.Fatal(err)
	}
	method := policy.MethodConfig[0]
	if len(method.Name) != 2 || method.Name[0].Service != "a.A" || method.Name[1].Service != `b"B` {
		t.Errorf("it is for %v", method.Name)
	}
	if method.RetryPolicy.MaxAttempts != 3 || strings.Join(method.RetryPolicy.RetryableStatusCodes, " ") != "UNAVAILABLE" ||
		policy.RetryThrottling.MaxTokens == 0 || len(policy.LoadBalancingConfig) != 1 {
		t.Errorf("the policy is %+v", policy)
	}
}

// What is not retry safe is sent once, whatever becomes of it.
func TestSomeMethodsAreSentOnce(t *testing.T) {
	var calls atomic.Int64
	service := dicompb.DicomService_ServiceDesc.ServiceName
	client, _ := dialWith(t, &downstream{summary: func(context.Context) error { calls.Add(1); return status.Error(codes.Unavailable, "x") }},
		1, RetryPolicyExcept(service, "GetImagesSummary"))
	if _, err := client.GetImagesSummary(within(t), &dicompb.GetImagesSummaryRequest{}); err == nil || calls.Load() != 1 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
}

func TestCallerAndRequestArePassedOn(t *testing.T) {
	var seen []metadata.MD
	note := func(ctx context.Context) error {
		md, _ := metadata.FromIncomingContext(ctx)
		seen = append(seen, md)
		return nil
	}
	client, _ := dial(t, &downstream{summary: note, download: func(s downloading) error { return note(s.Context()) }}, 1)
	both := func(ctx context.Context) {
		if _, err := client.GetImagesSummary(ctx, &dicompb.GetImagesSummaryRequest{}); err != nil {
			t.Fatal(err)
		}
		stream, err := client.DownloadDicom(ctx, &dicompb.DownloadDicomRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != io.EOF {
			t.Fatal(err)
		}
	}
	both(callinfo.WithAuthorization(callinfo.WithRequestID(within(t), "req-1"), "Bearer t"))
	both(within(t))
	for i, md := range seen {
		id, authorization := strings.Join(md.Get(callinfo.RequestIDKey), ","), strings.Join(md.Get(callinfo.AuthorizationKey), ",")
		if want := i < 2; want != (id == "req-1") || want != (authorization == "Bearer t") || !want && id+authorization != "" {
			t.Errorf("call %d carries %q and %q", i, id, authorization)
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d calls arrived", len(seen))
	}
}

func TestNewAndEtcdRefuseToGuess(t *testing.T) {
	if _, err := New(Config{}, ""); err == nil || !strings.Contains(err.Error(), "Etcd.Key") {
		t.Errorf("without a key: %v", err)
	}
	var c Config
	c.Etcd.Key = "dicom.rpc"
	if _, err := New(c, ""); err == nil || !strings.Contains(err.Error(), "ServerName") {
		t.Errorf("without certificates: %v", err)
	}
	for name, etcd := range map[string]discov.EtcdConf{
		"nothing": {}, "no hosts": {Key: "dicom.rpc"}, "no key": {Hosts: []string{"127.0.0.1:1"}}, "no TLS": {Hosts: []string{"127.0.0.1:1"}, Key: "dicom.rpc"},
		"a password": {Hosts: []string{"127.0.0.1:1"}, Key: "dicom.rpc", User: "u", Pass: "p"},
	} {
		if _, err := Etcd(etcd); err == nil || !strings.Contains(err.Error(), "Etcd") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
