package rpcserver

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"clinsource/internal/auditlog"
	"clinsource/internal/auth"
	"clinsource/internal/callinfo"
	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

// recorded is a service that keeps what the guard gives it to record.
type recorded struct {
	mu  sync.Mutex
	all []string
}

func (r *recorded) Close() error { return nil }

func (r *recorded) Refused(ctx context.Context, one auditlog.Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, strings.Join([]string{auth.UserFrom(ctx).Subject, callinfo.Peer(ctx), one.Source, one.Method, one.Reason, one.Project, one.Patient}, " "))
}

func (r *recorded) wait(t *testing.T, want []string) {
	t.Helper()
	var have []string
	for range 200 { // A stream's end is told before its handler's.
		r.mu.Lock()
		have = slices.Clone(r.all)
		r.mu.Unlock()
		if len(have) >= len(want) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !slices.Equal(have, want) {
		t.Errorf("recorded is\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

// Shows R11.
func TestRefusedAccessIsRecorded(t *testing.T) {
	f := serve(t, &service{
		summary: func(context.Context) error { return fault.Denied(fault.ReasonNoGrant, "no grant") },
		list:    func(context.Context) error { return fault.NotFound(fault.ReasonSubjectNotFound, "no such subject") },
		download: func(grpc.ServerStreamingServer[dicompb.DownloadDicomResponse]) error {
			return fault.NotFound(fault.ReasonRecordNotFound, "no such image")
		},
	})
	kept := &recorded{}
	f.guard.service = kept
	client := f.gateway(t)
	ctx := f.authorized(t)
	_, _ = client.GetImagesSummary(ctx, &dicompb.GetImagesSummaryRequest{ProjectId: "other"})
	_, _ = client.ListImages(ctx, &dicompb.ListImagesRequest{ProjectId: "p", PatientId: "not an identifier"})
	_, _ = client.GetImagesSummary(call(t), &dicompb.GetImagesSummaryRequest{ProjectId: "other"})
	_, _ = dicompb.NewDicomServiceClient(f.as(t, "vitals-rpc")).ListImages(ctx, &dicompb.ListImagesRequest{PatientId: "x"})
	stream, err := client.DownloadDicom(ctx, &dicompb.DownloadDicomRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil {
		t.Fatal("the image came")
	}
	const service = " /dicom.DicomService/"
	kept.wait(t, []string{
		"nurse project-api " + service + "GetImagesSummary NO_GRANT other ",
		"nurse project-api " + service + "ListImages SUBJECT_NOT_FOUND p ",
		" project-api project-api" + service + "GetImagesSummary TOKEN_MISSING  ",
		" vitals-rpc vitals-rpc" + service + "ListImages PEER_NOT_ALLOWED  ",
		"nurse project-api " + service + "DownloadDicom RECORD_NOT_FOUND  ",
	})
}

// A refusal of the account itself is an answer like others, and a disabled one is
// on record under its name.
func TestRefusedAccountsAreAnsweredAndRecorded(t *testing.T) {
	f := serve(t, &service{})
	kept := &recorded{}
	f.guard.service = kept
	client := f.gateway(t)
	var err error
	if f.token, err = auth.Issue(filepath.Join(f.dir, "issuer.key"), "nurse", nil, time.Hour); err != nil { // What is granted is stored.
		t.Fatal(err)
	}
	for _, c := range []struct {
		account auth.Account
		err     error
		code    codes.Code
	}{
		{auth.Account{Disabled: true}, nil, codes.PermissionDenied},
		{auth.Account{}, fault.Unavailable(fault.ReasonUnavailable, "the registry is away", time.Second), codes.Unavailable},
	} {
		f.guard.accounts = auth.AccountSourceFunc(func(context.Context, string, string) (auth.Account, error) { return c.account, c.err })
		_, err := client.GetImagesSummary(f.authorized(t), &dicompb.GetImagesSummaryRequest{ProjectId: "p"})
		if status.Code(err) != c.code {
			t.Errorf("%+v, %v: %v, want %v", c.account, c.err, err, c.code)
		}
		stream, err := client.DownloadDicom(f.authorized(t), &dicompb.DownloadDicomRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != c.code {
			t.Errorf("a stream, %+v, %v: %v, want %v", c.account, c.err, err, c.code)
		}
	}
	const service = " /dicom.DicomService/"
	kept.wait(t, []string{
		"nurse project-api " + service + "GetImagesSummary ACCOUNT_DISABLED p ",
		"nurse project-api " + service + "DownloadDicom ACCOUNT_DISABLED  ",
	})
}

func TestWhatIsNoRefusalIsNotRecorded(t *testing.T) {
	f := serve(t, &service{
		summary: func(context.Context) error { return nil },
		list:    func(context.Context) error { return fault.Invalid(fault.ReasonFieldInvalid, "wrong") },
	})
	kept := &recorded{}
	f.guard.service = kept
	client := f.gateway(t)
	_, _ = client.GetImagesSummary(f.authorized(t), &dicompb.GetImagesSummaryRequest{})
	_, _ = client.ListImages(f.authorized(t), &dicompb.ListImagesRequest{})
	kept.wait(t, nil)
}
