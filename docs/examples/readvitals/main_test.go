package main

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	vitalspb "clinsource/proto/vitals"
)

// stub is a server that does what a test tells it.
type stub struct {
	vitalspb.UnimplementedVitalsServiceServer
	list func(ctx context.Context, in *vitalspb.ListVitalsRequest) (*vitalspb.ListVitalsResponse, error)
}

func (s stub) ListVitals(ctx context.Context, in *vitalspb.ListVitalsRequest) (*vitalspb.ListVitalsResponse, error) {
	return s.list(ctx, in)
}

// read gives the ids that the example reads from the server.
func read(t *testing.T, server stub) (ids []string, err error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	vitalspb.RegisterVitalsServiceServer(s, server)
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	in := &vitalspb.ListVitalsRequest{PatientId: "s-01", PageSize: 1}
	err = readAll(ctx, vitalspb.NewVitalsServiceClient(conn), in, func(r *vitalspb.VitalsRecord) { ids = append(ids, r.GetRecordId()) })
	return ids, err
}

func TestReadsAllPagesThroughAnOutage(t *testing.T) {
	calls := 0
	ids, err := read(t, stub{list: func(ctx context.Context, in *vitalspb.ListVitalsRequest) (*vitalspb.ListVitalsResponse, error) {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("a call without a deadline")
		}
		if calls++; calls%2 == 1 {
			return nil, status.Error(codes.Unavailable, "away")
		}
		return &vitalspb.ListVitalsResponse{
			Records:       []*vitalspb.VitalsRecord{{RecordId: "r" + in.GetPageToken()}},
			NextPageToken: map[string]string{"": "2", "2": "3"}[in.GetPageToken()],
		}, nil
	}})
	if err != nil || len(ids) != 3 || ids[0] != "r" || ids[2] != "r3" || calls != 6 {
		t.Errorf("%q in %d calls, %v", ids, calls, err)
	}
}

func TestARefusalIsNotAskedAgain(t *testing.T) {
	calls := 0
	_, err := read(t, stub{list: func(context.Context, *vitalspb.ListVitalsRequest) (*vitalspb.ListVitalsResponse, error) {
		calls++
		return nil, status.Error(codes.PermissionDenied, "no grant")
	}})
	if status.Code(err) != codes.PermissionDenied || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
