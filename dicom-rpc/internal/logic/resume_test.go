package logic_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

// create begins an upload of file for s-01.
func (f *fixture) create(t testing.TB, file []byte) *dicompb.Upload {
	t.Helper()
	up, err := f.client.CreateUpload(within(t), &dicompb.CreateUploadRequest{
		Size: uint64(len(file)), Sha256: sumOf(file), PatientId: "s-01",
	})
	if err != nil || up.GetState() != dicompb.UploadState_OPEN || up.GetUploadId() == "" || up.GetOffset() != 0 {
		t.Fatalf("created %v, %v", up, err)
	}
	return up
}

func (f *fixture) get(t testing.TB, id string) *dicompb.Upload {
	t.Helper()
	up, err := f.client.GetUpload(within(t), &dicompb.GetUploadRequest{UploadId: id})
	if err != nil {
		t.Fatal(err)
	}
	return up
}

type uploadStream = grpc.ClientStreamingClient[dicompb.UploadDicomRequest, dicompb.UploadDicomResponse]

// stream begins to go on with an upload.
func (f *fixture) stream(t testing.TB, ctx context.Context, id string, offset int) uploadStream {
	t.Helper()
	stream, err := f.client.UploadDicom(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(infoMessage(&dicompb.FileInfo{UploadId: id, Offset: uint64(offset)}))
	return stream
}

func sendAll(stream uploadStream, part []byte) {
	for len(part) > 0 {
		n := min(chunkBytes, len(part))
		if stream.Send(chunkMessage(part[:n])) != nil {
			return
		}
		part = part[n:]
	}
}

// part sends file[from:to] of an upload and closes the stream.
func (f *fixture) part(t testing.TB, id string, file []byte, from, to int) (*dicompb.UploadDicomResponse, error) {
	t.Helper()
	stream := f.stream(t, within(t), id, from)
	sendAll(stream, file[from:to])
	return stream.CloseAndRecv()
}

func (f *fixture) wantComplete(t testing.TB, id string, file []byte, resp *dicompb.UploadDicomResponse, err error) {
	t.Helper()
	if err != nil || !resp.GetSuccess() || resp.GetSize() != uint64(len(file)) || resp.GetSha256() != sumOf(file) ||
		resp.GetUploadId() != id || resp.GetOffset() != uint64(len(file)) || resp.GetImageId() == "" {
		t.Fatalf("answer %v, %v", resp, err)
	}
	_, back, err := f.download(within(t), &dicompb.DownloadDicomRequest{ImageId: resp.GetImageId()})
	if err != nil || !bytes.Equal(back, file) {
		t.Fatalf("%d bytes back of %d, %v", len(back), len(file), err)
	}
	if up := f.get(t, id); up.GetState() != dicompb.UploadState_COMPLETE || !proto.Equal(up.GetImage(), resp) || up.GetExpiresTime() != nil {
		t.Errorf("the upload is %v, the answer was %v", up, resp)
	}
}

func large(t testing.TB) []byte {
	return synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", Rows: 1024, Columns: 1024}) // 2 MiB
}

func TestUploadInParts(t *testing.T) {
	f := open(t)
	file := large(t)
	up := f.create(t, file)
	if up.GetExpiresTime().AsTime().Before(time.Now().Add(limits.Expiry-time.Minute)) || up.GetProjectId() != "p" || up.GetSize() != uint64(len(file)) {
		t.Errorf("created %v", up)
	}
	at := 0
	for _, to := range []int{1, 100, 131, 140, 140, 300_000, len(file) - 1} {
		resp, err := f.part(t, up.GetUploadId(), file, at, to)
		if err != nil || resp.GetSuccess() || resp.GetUploadId() != up.GetUploadId() || resp.GetOffset() != uint64(to) {
			t.Fatalf("%d to %d: %v, %v", at, to, resp, err)
		}
		if now := f.get(t, up.GetUploadId()); now.GetOffset() != uint64(to) || now.GetState() != dicompb.UploadState_OPEN {
			t.Fatalf("%d to %d: %v", at, to, now)
		}
		at = to
	}
	resp, err := f.part(t, up.GetUploadId(), file, at, len(file))
	f.wantComplete(t, up.GetUploadId(), file, resp, err)
	if resp.GetImageId() != up.GetUploadId() || !resp.GetCreated() {
		t.Errorf("answer %v", resp)
	}
	f.wantImages(t, 1)
	for _, offset := range []int{0, at, len(file)} { // Asked again, it says the same.
		again, err := f.part(t, up.GetUploadId(), file[:offset], offset, offset)
		if err != nil || !proto.Equal(again, resp) {
			t.Errorf("again from %d: %v, %v", offset, again, err)
		}
	}
	f.wantImages(t, 1)
}

func TestUploadOffsetMustBeTheCommittedOne(t *testing.T) {
	f := open(t)
	file := large(t)
	id := f.create(t, file).GetUploadId()
	if _, err := f.part(t, id, file, 0, 1000); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int{0, 999, 1001, len(file)} {
		_, err := f.part(t, id, file, offset, offset)
		if got := wantFault(t, err, codes.Aborted, ""); got.Reason != fault.ReasonUploadOffset {
			t.Errorf("from %d: %v", offset, err)
		}
	}
	resp, err := f.part(t, id, file, 1000, len(file))
	f.wantComplete(t, id, file, resp, err)
}
