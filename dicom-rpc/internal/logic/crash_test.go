package logic_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/dicom-rpc/internal/blob"
	"clinsource/dicom-rpc/internal/store"
	"clinsource/dicom-rpc/internal/svc"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	dicompb "clinsource/proto/dicom"
)

// childEnv makes the test binary a server on the data of that folder, which says
// on stdout where it listens and runs until it is killed.
const childEnv = "DICOM_TEST_CHILD"

func serveIfAsked() {
	dir := os.Getenv(childEnv)
	if dir == "" {
		return
	}
	if err := child(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(1)
}

func child(dir string) error {
	logx.Disable() // Standard output is for the address.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := sqldb.Open(ctx, sqldb.Config{Path: filepath.Join(dir, "images.db")}, records.WithSchema(store.Migrations))
	if err != nil {
		return err
	}
	images, err := blob.Open(filepath.Join(dir, "images"), maxUploads)
	if err != nil {
		return err
	}
	s := svc.New(db, images, newRegistry(), limits)
	images.KeepSettling(s.Store.Fate)
	s.Uploads.KeepTidy()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	return newServer(s).Serve(listener)
}

// killable is a server in a process of its own.
type killable struct {
	cmd    *exec.Cmd
	conn   *grpc.ClientConn
	client dicompb.DicomServiceClient
}

func startKillable(t *testing.T, dir string) *killable {
	t.Helper()
	k := &killable{cmd: exec.Command(os.Args[0])}
	k.cmd.Env, k.cmd.Stderr = append(os.Environ(), childEnv+"="+dir), os.Stderr
	out, err := k.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if k.conn, err = grpc.NewClient(strings.TrimSpace(line), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	k.client = dicompb.NewDicomServiceClient(k.conn)
	return k
}

func (k *killable) kill(t *testing.T) {
	t.Helper()
	if err := k.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = k.cmd.Wait()
	_ = k.conn.Close()
}

// TestKilledProcessKeepsWhatItCommitted kills the server again and again in the
// middle of one upload: no byte that was committed is asked for again, and the
// image is the file.
func TestKilledProcessKeepsWhatItCommitted(t *testing.T) {
	dir := t.TempDir()
	file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", Rows: 1024, Columns: 1024, Frames: 30})
	k := startKillable(t, dir)
	up, err := k.client.CreateUpload(within(t), &dicompb.CreateUploadRequest{Size: uint64(len(file)), Sha256: sumOf(file), PatientId: "s-01"})
	if err != nil {
		t.Fatal(err)
	}
	known, kills, sent := uint64(0), 0, 0
	var resp *dicompb.UploadDicomResponse
	for resp == nil || !resp.GetSuccess() {
		now, err := k.client.GetUpload(within(t), &dicompb.GetUploadRequest{UploadId: up.GetUploadId()})
		if err != nil {
			t.Fatal(err)
		}
		if now.GetOffset() < known {
			t.Fatalf("%d bytes are committed, before the kill %d were", now.GetOffset(), known)
		}
		known = now.GetOffset()
		cut := len(file) - int(known)
		if kills < 6 {
			cut = min(cut, 1+rand.IntN(20<<20))
		}
		stream := (&fixture{client: k.client}).stream(t, within(t), up.GetUploadId(), int(known))
		sendAll(stream, file[known:int(known)+cut])
		sent += cut
		if kills < 6 { // As much as got there, at whatever moment of a commit.
			time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
			if now, err := k.client.GetUpload(within(t), &dicompb.GetUploadRequest{UploadId: up.GetUploadId()}); err == nil {
				known = max(known, now.GetOffset())
			}
			k.kill(t)
			kills++
			k = startKillable(t, dir)
			continue
		}
		if resp, err = stream.CloseAndRecv(); err != nil {
			t.Fatal(err)
		}
	}
	k.kill(t)
	f := openAt(t, dir, newRegistry(), limits)
	f.wantComplete(t, up.GetUploadId(), file, resp, nil)
	f.wantImages(t, 1)
	t.Logf("%d bytes sent of %d in %d killed processes", sent, len(file), kills)
}
