package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"clinsource/dicom-rpc/dicomfile"
	dicompb "clinsource/proto/dicom"
)

const (
	chunkSize   = 256 << 10
	imageWithin = 2 * time.Minute
	// instanceLength is the length of the bench's SOP Instance UIDs: one prepared
	// file becomes as many images as are needed by changing the UID in place.
	instanceLength = 40
	// frameBytes is one frame of the image, 512 x 512 pixels of 2 bytes.
	frameBytes = 512 * 512 * 2
)

// image is a prepared file.
type image struct {
	path    string
	patient string
	uid     string // Its SOP Instance UID, instanceLength long.
	uids    int64  // Given out so far.
}

func instanceUID(n int64) string {
	return fmt.Sprintf("2.25.%0*d", instanceLength-len("2.25."), 1_000_000+n)
}

// prepareImage writes a file of about that many bytes.
func prepareImage(path, patient string, size int64) (*image, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	img := &image{path: path, patient: patient, uid: strings.Replace(instanceUID(0), "2.25.0", "2.25.1", 1)}
	_, err = dicomfile.WriteSynthetic(f, dicomfile.SyntheticSpec{
		PatientID: patient, StudyDate: time.Now(), InstanceUID: img.uid, Frames: int(size / frameBytes),
	})
	return img, errors.Join(err, f.Close())
}

// imageGroup is one large image into dicom-rpc, and into a bare sink.
func imageGroup(_ context.Context, b *bench, g *group) error {
	megabytes := b.image / 1_000_000
	g.title, g.unit, g.size = fmt.Sprintf("One image of %d MB over gRPC, one caller, chunks of 256 KiB", megabytes), "image", b.image
	g.before = syscall.Sync // What was left to write must not be a lap's to wait for.
	img, err := prepareImage(filepath.Join(b.folder, "image.dcm"), b.world.patients[0], b.image)
	if err != nil {
		return err
	}
	folder := filepath.Join(b.folder, "sink")
	sink, err := startSink(folder)
	if err != nil {
		return err
	}
	g.closers = append(g.closers, sink.stop)
	g.also = map[string]int{"sink": sink.pid}
	into := func(name, addr, folder string) (*contender, error) {
		conn, err := dial("dicom-rpc", addr, "partner")
		if err != nil {
			return nil, err
		}
		g.closers = append(g.closers, func() { _ = conn.Close() })
		c := &contender{name: name, callers: 1, turn: func(ctx context.Context) (lap, error) {
			return uploadImage(authorized(ctx, b.world.token), conn, img, folder)
		}}
		g.contenders = append(g.contenders, c)
		return c, nil
	}
	bare, err := into("bare grpc-go sink: file, sha256, fsync", sink.addr, folder)
	if err != nil {
		return err
	}
	service, err := into("dicom-rpc", dicomAddr, filepath.Join(b.suite.data, "dicom-rpc", "images"))
	if err != nil {
		return err
	}
	g.goals = []goal{{what: fmt.Sprintf("%d MB over gRPC / bare grpc-go sink", megabytes), want: 0.90, ratios: rateOver(service, bare)}}
	return nil
}

// uploadImage sends the file as a new instance, times it, and then removes the
// bytes that came of it: both sides write into the space that the last lap freed.
func uploadImage(ctx context.Context, conn *grpc.ClientConn, img *image, stored string) (lap, error) {
	ctx, cancel := context.WithTimeout(ctx, imageWithin)
	defer cancel()
	img.uids++
	uid := instanceUID(img.uids)
	digest := sha256.New()
	if err := img.chunks(uid, func(b []byte) error { _, err := digest.Write(b); return err }); err != nil {
		return lap{}, err
	}
	begun := time.Now()
	resp, err := sendImage(ctx, conn, img, uid)
	took := time.Since(begun)
	if err != nil {
		return lap{}, err
	}
	if !resp.GetCreated() || resp.GetSha256() != hex.EncodeToString(digest.Sum(nil)) {
		return lap{}, errors.New("the bytes that were stored are not those that were sent")
	}
	id := resp.GetImageId()
	if err := os.Remove(filepath.Join(stored, id[len(id)-2:], id)); err != nil {
		return lap{}, err
	}
	return lap{ops: 1, took: took, times: []time.Duration{took}}, nil
}

// sendImage is the upload: the info, then the file in chunks.
func sendImage(ctx context.Context, conn *grpc.ClientConn, img *image, uid string) (*dicompb.UploadDicomResponse, error) {
	stream, err := dicompb.NewDicomServiceClient(conn).UploadDicom(ctx)
	if err != nil {
		return nil, err
	}
	info := &dicompb.FileInfo{FileName: "image.dcm", FileType: "dcm", PatientId: img.patient}
	err = stream.Send(&dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Info{Info: info}})
	if err == nil {
		err = img.chunks(uid, func(b []byte) error {
			return stream.Send(&dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Chunk{Chunk: b}})
		})
	}
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF: the server has answered already; it says why below.
		return nil, err
	}
	return stream.CloseAndRecv()
}

// chunks gives the file in chunks, as the instance with that UID. A chunk is
// the receiver's until it returns.
func (img *image) chunks(uid string, receive func([]byte) error) error {
	f, err := os.Open(img.path)
	if err != nil {
		return err
	}
	defer f.Close()
	chunk := make([]byte, chunkSize)
	for first := true; ; first = false {
		n, err := io.ReadFull(f, chunk)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		data := chunk[:n]
		if first { // Both places of the UID, file meta and data set, lie in the first chunk.
			data = bytes.ReplaceAll(data, []byte(img.uid), []byte(uid))
		}
		if err := receive(data); err != nil {
			return err
		}
	}
}
