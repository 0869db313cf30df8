package logic_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"

	"clinsource/dicom-rpc/dicomfile"
	dicompb "clinsource/proto/dicom"
)

// sink is the least that a grpc-go server can do to take a file for good: write
// it, hash it, sync it.
type sink struct {
	dicompb.UnimplementedDicomServiceServer
	dir string
}

// CreateUpload lets the sink take what the benchmark sends to the service.
func (s sink) CreateUpload(context.Context, *dicompb.CreateUploadRequest) (*dicompb.Upload, error) {
	return &dicompb.Upload{}, nil
}

func (s sink) UploadDicom(stream dicompb.DicomService_UploadDicomServer) error {
	f, err := os.Create(filepath.Join(s.dir, "sink"))
	if err != nil {
		return err
	}
	defer f.Close()
	digest := sha256.New()
	var size uint64
	for {
		msg, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if _, err := f.Write(msg.GetChunk()); err != nil {
			return err
		}
		digest.Write(msg.GetChunk())
		size += uint64(len(msg.GetChunk()))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return stream.SendAndClose(&dicompb.UploadDicomResponse{Success: true, Size: size, Sha256: fmt.Sprintf("%x", digest.Sum(nil))})
}

// BenchmarkUpload500MB sends 500 MB to the service and to a bare sink in turns
// and reports the median of the rounds' ratios; the goal is 0.90 or more.
func BenchmarkUpload500MB(b *testing.B) {
	b.Run("plain", func(b *testing.B) {
		againstSink(b, func(f *fixture, file []byte) (*dicompb.UploadDicomResponse, error) {
			return f.uploadFrom(context.Background(), &dicompb.FileInfo{}, bytes.NewReader(file))
		})
	})
	b.Run("resumable", func(b *testing.B) {
		againstSink(b, func(f *fixture, file []byte) (*dicompb.UploadDicomResponse, error) {
			up, err := f.client.CreateUpload(within(b), &dicompb.CreateUploadRequest{Size: uint64(len(file)), PatientId: "s-01"})
			if err != nil {
				return nil, err
			}
			return f.uploadFrom(context.Background(), &dicompb.FileInfo{UploadId: up.GetUploadId()}, bytes.NewReader(file))
		})
	})
}

func againstSink(b *testing.B, send func(*fixture, []byte) (*dicompb.UploadDicomResponse, error)) {
	const frames = 954 // Of 512 KiB.
	product := open(b)
	bareServer := grpc.NewServer(grpc.MaxRecvMsgSize(2 << 20))
	sinkDir := b.TempDir()
	dicompb.RegisterDicomServiceServer(bareServer, sink{dir: sinkDir})
	conn := dial(b, bareServer)
	b.Cleanup(func() { conn.Close(); bareServer.Stop() })
	bare := &fixture{client: dicompb.NewDicomServiceClient(conn)}

	var ratios, ours, theirs []float64
	round := 0
	for b.Loop() {
		file := synthetic(b, dicomfile.SyntheticSpec{PatientID: "s-01", Rows: 512, Columns: 512, Frames: frames, Seed: uint64(round)})
		order := []*fixture{product, bare}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		took := map[*fixture]float64{}
		for _, f := range order {
			start := time.Now()
			resp, err := send(f, file)
			if err != nil || resp.GetSize() != uint64(len(file)) {
				b.Fatal(resp, err)
			}
			took[f] = time.Since(start).Seconds()
		}
		_, images := product.files(b)
		for _, written := range append(images, filepath.Join(sinkDir, "sink")) {
			if err := os.Remove(written); err != nil {
				b.Fatal(err)
			}
		}
		mb := float64(len(file)) / 1e6
		ratios = append(ratios, took[bare]/took[product])
		ours, theirs = append(ours, mb/took[product]), append(theirs, mb/took[bare])
		round++
	}
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(ours), "MB/s")
	b.ReportMetric(median(theirs), "bareMB/s")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
