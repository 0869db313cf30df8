package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/internal/devcert"
)

func testImage(t *testing.T) *image {
	t.Helper()
	img, err := prepareImage(filepath.Join(t.TempDir(), "image.dcm"), "bench-x-000", 2_000_000)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// One file becomes another valid instance by its UID alone, in the meta
// information and in the data set.
func TestChunksMakeANewInstance(t *testing.T) {
	img := testImage(t)
	whole, err := os.ReadFile(img.path)
	if err != nil {
		t.Fatal(err)
	}
	var sent []byte
	var chunks int
	err = img.chunks(instanceUID(7), func(b []byte) error {
		sent = append(sent, b...)
		chunks++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sent) != len(whole) || chunks != (len(whole)+chunkSize-1)/chunkSize {
		t.Errorf("%d bytes in %d chunks of a file of %d", len(sent), chunks, len(whole))
	}
	header, err := dicomfile.Scan(t.Context(), bytes.NewReader(sent), int64(len(sent)), dicomfile.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if header.SOPInstanceUID != instanceUID(7) || len(header.Findings) > 0 {
		t.Errorf("instance %s, findings %v", header.SOPInstanceUID, header.Findings)
	}
}

func TestTheSinkKeepsWhatItWasSent(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := devcert.Ensure(certs, time.Now()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	said, says := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- runSink(ctx, []string{"kept"}, says) }()
	addr := make([]byte, 64)
	n, err := said.Read(addr)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dial("dicom-rpc", string(bytes.TrimSpace(addr[:n])), "partner")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// It fails unless the answer's digest is that of the bytes, and the file is there to be removed.
	l, err := uploadImage(t.Context(), conn, testImage(t), "kept")
	if err != nil || l.ops != 1 || l.took <= 0 {
		t.Errorf("lap %+v, %v", l, err)
	}
	if left, _ := filepath.Glob("kept/*/*"); len(left) > 0 {
		t.Errorf("the lap left %v", left)
	}
	cancel()
	<-ended
}
