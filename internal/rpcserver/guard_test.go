package rpcserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/discov"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"clinsource/internal/auth"
	"clinsource/internal/callinfo"
	"clinsource/internal/fault"
	"clinsource/internal/mtls"
	dicompb "clinsource/proto/dicom"
)

func TestWhoGetsIn(t *testing.T) {
	reached := 0
	enter := func(context.Context) error { reached++; return nil }
	f := serve(t, &service{summary: enter, list: enter}, WithoutToken(listMethod))
	cases := map[string]struct {
		process, authorization string
		free                   bool // The method that takes no token.
		code                   codes.Code
		reason                 string
	}{
		"peer and token":       {process: "project-api", authorization: "Bearer " + f.token},
		"no token":             {process: "project-api", code: codes.Unauthenticated, reason: fault.ReasonTokenMissing},
		"bad token":            {process: "project-api", authorization: "Bearer " + f.token + "x", code: codes.Unauthenticated, reason: fault.ReasonTokenInvalid},
		"not on the list":      {process: "vitals-rpc", authorization: "Bearer " + f.token, code: codes.PermissionDenied, reason: fault.ReasonPeerNotAllowed},
		"for health only":      {process: "suite", authorization: "Bearer " + f.token, code: codes.PermissionDenied, reason: fault.ReasonPeerNotAllowed},
		"free method":          {process: "project-api", free: true},
		"free, bad token":      {process: "project-api", authorization: "Bearer x", free: true},
		"free, not on list":    {process: "vitals-rpc", free: true, code: codes.PermissionDenied, reason: fault.ReasonPeerNotAllowed},
		"stranger, no token":   {process: "vitals-rpc", code: codes.PermissionDenied, reason: fault.ReasonPeerNotAllowed},
		"two words, no scheme": {process: "project-api", authorization: f.token + " Bearer", code: codes.Unauthenticated, reason: fault.ReasonTokenInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			reached = 0
			client := dicompb.NewDicomServiceClient(f.as(t, c.process))
			ctx := call(t)
			if c.authorization != "" {
				ctx = call(t, callinfo.AuthorizationKey, c.authorization)
			}
			var err error
			if c.free {
				_, err = client.ListImages(ctx, &dicompb.ListImagesRequest{})
			} else {
				_, err = client.GetImagesSummary(ctx, &dicompb.GetImagesSummaryRequest{})
			}
			if c.code == codes.OK {
				if err != nil || reached != 1 {
					t.Errorf("reached %d times, %v", reached, err)
				}
				return
			}
			isFault(t, err, c.code, c.reason)
			if reached != 0 {
				t.Error("the handler was reached")
			}
		})
	}
}

func TestStreamsAreGuardedToo(t *testing.T) {
	f := serve(t, &service{download: func(grpc.ServerStreamingServer[dicompb.DownloadDicomResponse]) error {
		t.Error("the handler was reached")
		return nil
	}})
	for process, want := range map[string]string{"vitals-rpc": fault.ReasonPeerNotAllowed, "project-api": fault.ReasonTokenMissing} {
		stream, err := dicompb.NewDicomServiceClient(f.as(t, process)).DownloadDicom(call(t), &dicompb.DownloadDicomRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		if got := fault.From(err); got == nil || got.Reason != want {
			t.Errorf("%s: %v, want %s", process, err, want)
		}
	}
}

func TestHandlersKnowTheCall(t *testing.T) {
	var ids []string
	check := func(ctx context.Context) {
		ids = append(ids, callinfo.RequestID(ctx))
		if u := auth.UserFrom(ctx); u.Subject != "nurse" || !u.CanAccess("p") || callinfo.Peer(ctx) != "project-api" || callinfo.Authorization(ctx) == "" {
			t.Errorf("the handler sees %+v from %q", u, callinfo.Peer(ctx))
		}
	}
	f := serve(t, &service{
		summary: func(ctx context.Context) error { check(ctx); return nil },
		download: func(s grpc.ServerStreamingServer[dicompb.DownloadDicomResponse]) error {
			check(s.Context())
			return nil
		},
	})
	client := f.gateway(t)
	for _, sent := range []string{"req-1", "", "in valid\"", strings.Repeat("x", 65)} {
		ids = nil
		ctx := f.authorized(t)
		if sent != "" {
			ctx = f.authorized(t, callinfo.RequestIDKey, sent)
		}
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
		for _, id := range ids {
			if !callinfo.ValidRequestID(id) || (id == sent) != (sent == "req-1") {
				t.Errorf("the id %q was sent and %q is used", sent, id)
			}
		}
		if len(ids) != 2 {
			t.Errorf("%d handlers were reached", len(ids))
		}
	}
}

func TestPanicsAndRawErrorsTellNothing(t *testing.T) {
	const secret = "SECRET-98.6"
	failures := map[string]func() error{
		"panic with text":  func() error { panic(secret) },
		"panic with error": func() error { panic(fmt.Errorf("at %s", secret)) },
		"panic in runtime": func() error { var m map[string]int; m[secret] = 1; return nil },
		"raw error":        func() error { return errors.New("hidden") },
		"Unknown status":   func() error { return status.Error(codes.Unknown, "hidden") },
		"wrapped status":   func() error { return fmt.Errorf("hidden: %w", status.Error(codes.Internal, "hidden")) },
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			f := serve(t, &service{
				summary:  func(context.Context) error { return fail() },
				download: func(grpc.ServerStreamingServer[dicompb.DownloadDicomResponse]) error { return fail() },
			})
			client := f.gateway(t)
			_, unary := client.GetImagesSummary(f.authorized(t), &dicompb.GetImagesSummaryRequest{})
			stream, err := client.DownloadDicom(f.authorized(t), &dicompb.DownloadDicomRequest{})
			if err != nil {
				t.Fatal(err)
			}
			_, streamed := stream.Recv()
			for _, err := range []error{unary, streamed} {
				want := fault.Internal(nil).GRPCStatus().Proto().String()
				if got := status.Convert(err).Proto().String(); got != want {
					t.Errorf("on the wire is %s, want %s", got, want)
				}
			}
			errorLines := 0
			for _, line := range f.log.lines(t) {
				if line["level"] == "error" {
					errorLines++
					if (line["stack"] != nil) != strings.HasPrefix(name, "panic") || (line["stack"] == nil) == (line["cause"] == nil) {
						t.Errorf("the line is %v", line)
					}
				}
			}
			if errorLines != 2 {
				t.Errorf("two failures make %d error lines", errorLines)
			}
			if strings.Contains(f.log.text(), secret) {
				t.Errorf("the log holds the panic's text: %s", f.log.text())
			}
		})
	}
}

func TestFaultsPassUnchanged(t *testing.T) {
	refusal := fault.InvalidFields([]fault.Violation{{Field: "a", Rule: "r", Message: "must be b"}})
	f := serve(t, &service{summary: func(context.Context) error { return fmt.Errorf("step: %w", refusal) }})
	_, err := f.gateway(t).GetImagesSummary(f.authorized(t), &dicompb.GetImagesSummaryRequest{})
	if got := fault.From(err); got.Message != refusal.Message || len(got.Violations) != 1 || got.Violations[0] != refusal.Violations[0] {
		t.Errorf("the caller sees %+v", got)
	}
}

func TestTheLogHoldsNoContent(t *testing.T) {
	f := serve(t, &service{
		summary: func(context.Context) error { return nil },
		list:    func(context.Context) error { return fault.NotFound(fault.ReasonSubjectNotFound, "SECRET message") },
	})
	client := f.gateway(t)
	ctx := f.authorized(t, callinfo.RequestIDKey, "req-7", "x-other", "SECRET-METADATA")
	if _, err := client.GetImagesSummary(ctx, &dicompb.GetImagesSummaryRequest{ProjectId: "SECRET-PROJECT"}); err != nil {
		t.Fatal(err)
	}
	_, err := client.ListImages(ctx, &dicompb.ListImagesRequest{PatientId: "SECRET-PATIENT"})
	isFault(t, err, codes.NotFound, fault.ReasonSubjectNotFound)
	_, err = client.GetImagesSummary(call(t, callinfo.AuthorizationKey, "Bearer SECRET-TOKEN"), &dicompb.GetImagesSummaryRequest{})
	isFault(t, err, codes.Unauthenticated, fault.ReasonTokenInvalid)
	if text := f.log.text(); strings.Contains(text, "SECRET") || strings.Contains(text, f.token[:20]) {
		t.Errorf("the log says %s", text)
	}
	lines := f.log.lines(t)
	if len(lines) != 3 {
		t.Fatalf("3 calls make %d lines", len(lines))
	}
	for i, want := range []map[string]any{
		{"method": summaryMethod, "code": "OK", "request_id": "req-7", "peer": "project-api"},
		{"method": listMethod, "code": "NotFound", "reason": fault.ReasonSubjectNotFound, "request_id": "req-7"},
		{"method": summaryMethod, "code": "Unauthenticated", "reason": fault.ReasonTokenInvalid},
	} {
		for key, value := range want {
			if lines[i][key] != value {
				t.Errorf("line %d says %s %v, want %v", i, key, lines[i][key], value)
			}
		}
	}
}

func TestHealthNeedsNoTokenAndMakesNoLine(t *testing.T) {
	f := serve(t, &service{}, WithIdleLimit(50*time.Millisecond))
	health := healthpb.NewHealthClient(f.as(t, "suite"))
	if _, err := health.Check(call(t), &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	_, err := healthpb.NewHealthClient(f.as(t, "vitals-rpc")).Check(call(t), &healthpb.HealthCheckRequest{})
	isFault(t, err, codes.PermissionDenied, fault.ReasonPeerNotAllowed)
	ctx, cancel := context.WithCancel(call(t))
	defer cancel()
	watch, err := health.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(250*time.Millisecond, cancel) // After five silent idle limits.
	if _, err := watch.Recv(); status.Code(err) != codes.Canceled || ctx.Err() == nil {
		t.Errorf("the watch ends with %v before its caller leaves", err)
	}
	if text := f.log.text(); text != "" {
		t.Errorf("the log says %s", text)
	}
}

func TestNewRefusesToStart(t *testing.T) {
	dir := certificates(t)
	s := &service{}
	for name, c := range map[string]struct {
		spoil func(*Config)
		says  string
	}{
		"no limit":           {func(c *Config) { c.Timeout = 0 }, "Timeout"},
		"negative limit":     {func(c *Config) { c.Timeout = -1 }, "Timeout"},
		"no certificate":     {func(c *Config) { c.Tls.CertFile = "" }, "CertFile"},
		"another's key":      {func(c *Config) { c.Tls.KeyFile = strings.Replace(c.Tls.KeyFile, "dicom", "epro", 1) }, "epro-rpc.key"},
		"no client CA":       {func(c *Config) { c.Tls.ClientCaFile = "" }, "ClientCaFile"},
		"no peers":           {func(c *Config) { c.Peers = nil }, "dicom.DicomService"},
		"nobody on the list": {func(c *Config) { c.Peers["dicom.DicomService"] = nil }, "dicom.DicomService"},
		"unknown peer":       {func(c *Config) { c.Peers["dicom.DicomService"] = []string{"project-apis"} }, "project-api?"},
		"no issuer":          {func(c *Config) { c.Tokens = auth.Config{} }, "Issuer"},
		"no etcd":            {func(*Config) {}, "Etcd"},
		"etcd without TLS":   {func(c *Config) { c.Etcd = discov.EtcdConf{Hosts: []string{"127.0.0.1:1"}, Key: "dicom.rpc"} }, "Etcd"},
	} {
		t.Run(name, func(t *testing.T) {
			config := configOf(dir)
			c.spoil(&config)
			if _, err := New(config, s.register, unknown); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error is %v, want one with %s", err, c.says)
			}
		})
	}
}

func TestPlaintextAndStrangersFail(t *testing.T) {
	f := serve(t, &service{})
	other := certificates(t) // Another authority's certificates.
	files, err := mtls.NewClient(mtls.ClientFiles{ServerName: "dicom-rpc", CaFile: f.dir + "/ca.crt",
		CertFile: other + "/project-api.crt", KeyFile: other + "/project-api.key"})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(f.addr, grpc.WithTransportCredentials(files.Credentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = healthpb.NewHealthClient(conn).Check(call(t), &healthpb.HealthCheckRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a certificate of another authority: %v", err)
	}
}
