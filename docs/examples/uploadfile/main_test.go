package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	dicompb "clinsource/proto/dicom"
)

// stub is a server that does what a test tells it.
type stub struct {
	dicompb.UnimplementedDicomServiceServer
	upload func(dicompb.DicomService_UploadDicomServer) error
}

func (s stub) UploadDicom(stream dicompb.DicomService_UploadDicomServer) error {
	return s.upload(stream)
}

func upload(t *testing.T, content []byte, server func(dicompb.DicomService_UploadDicomServer) error) (*dicompb.UploadDicomResponse, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scan.dcm")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	dicompb.RegisterDicomServiceServer(s, stub{upload: server})
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return uploadFile(ctx, dicompb.NewDicomServiceClient(conn), path, "s-01", func(int64, int64) {})
}

func TestUploadFileSendsInfoThenAllBytes(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	var info *dicompb.FileInfo
	var got []byte
	resp, err := upload(t, content, func(stream dicompb.DicomService_UploadDicomServer) error {
		for {
			msg, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return stream.SendAndClose(&dicompb.UploadDicomResponse{Success: true, ImageId: "i"})
			}
			if err != nil {
				return err
			}
			if info == nil {
				info = msg.GetInfo()
			}
			got = append(got, msg.GetChunk()...)
		}
	})
	if err != nil || resp.GetImageId() != "i" || !bytes.Equal(got, content) {
		t.Errorf("%d bytes of %d arrived; %v, %v", len(got), len(content), resp, err)
	}
	if info.GetFileName() != "scan.dcm" || info.GetPatientId() != "s-01" || info.GetSize() != uint64(len(content)) {
		t.Errorf("info %v", info)
	}
}

// TestUploadFileTellsTheServersAnswer refuses in the middle: Send then gives
// io.EOF, and the caller must learn why all the same.
func TestUploadFileTellsTheServersAnswer(t *testing.T) {
	_, err := upload(t, make([]byte, 64<<20), func(stream dicompb.DicomService_UploadDicomServer) error {
		if _, err := stream.Recv(); err != nil {
			return err
		}
		st, err := status.New(codes.InvalidArgument, "not a DICOM file").WithDetails(&errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "file", Reason: "dicom.not_part10", Description: "no DICM"}},
		})
		return errors.Join(err, st.Err())
	})
	if status.Code(err) != codes.InvalidArgument {
		t.Fatalf("the error is %v", err)
	}
	if text := explain(err); !strings.Contains(text, "not a DICOM file") || !strings.Contains(text, "file [dicom.not_part10] no DICM") {
		t.Errorf("explained as %q", text)
	}
}
