package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"google.golang.org/grpc"

	"clinsource/internal/mtls"
	dicompb "clinsource/proto/dicom"
)

// sinkCommand is the first argument of the process that is the sink.
const sinkCommand = "sink"

// maxMessage is dicom-rpc's.
const maxMessage = 2 << 20

// sink is the least that a server can do with an upload and still acknowledge
// it: grpc-go as it comes, dicom-rpc's certificate, one file, its SHA-256, one
// fsync. It looks at nothing, and asks nobody for a token.
type sink struct {
	dicompb.UnimplementedDicomServiceServer
	folder string
}

// runSink serves until ctx ends; it prints its address once it listens.
func runSink(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("sink takes the folder that it writes to")
	}
	files, err := mtls.NewServer(mtls.ServerFiles{
		CertFile: certs + "/dicom-rpc.crt", KeyFile: certs + "/dicom-rpc.key", ClientCaFile: certs + "/ca.crt",
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.Creds(files.Credentials()), grpc.MaxRecvMsgSize(maxMessage))
	dicompb.RegisterDicomServiceServer(server, &sink{folder: args[0]})
	defer context.AfterFunc(ctx, server.Stop)()
	if _, err := fmt.Fprintln(out, l.Addr()); err != nil {
		return err
	}
	return server.Serve(l)
}

// UploadDicom implements dicom.DicomService.
func (s *sink) UploadDicom(stream dicompb.DicomService_UploadDicomServer) error {
	if _, err := stream.Recv(); err != nil { // The info.
		return err
	}
	id := rand.Text()
	place := filepath.Join(s.folder, id[len(id)-2:])
	if err := os.MkdirAll(place, 0o700); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(place, id))
	if err != nil {
		return err
	}
	defer f.Close()
	digest, size := sha256.New(), uint64(0)
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
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
	return stream.SendAndClose(&dicompb.UploadDicomResponse{
		Success: true, Created: true, Size: size, ImageId: id, Sha256: hex.EncodeToString(digest.Sum(nil)),
	})
}

// runningSink is the sink as a process of its own.
type runningSink struct {
	pid  int
	addr string
	stop func()
}

func startSink(folder string) (*runningSink, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.Command(self, sinkCommand, folder)
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	stop := func() {
		_ = c.Process.Kill()
		_ = c.Wait() // Killed: there is no other outcome.
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		stop()
		return nil, errors.New("the sink ended before it listened")
	}
	return &runningSink{pid: c.Process.Pid, addr: lines.Text(), stop: stop}, nil
}
