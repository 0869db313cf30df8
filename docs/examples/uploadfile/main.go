// uploadfile sends one DICOM file to dicom-rpc over gRPC, as a partner
// institution's program would. It is the article's client, corrected:
//
//   - the first message says what the file is; the chunks follow;
//   - the connection is mutual TLS, and the call carries a bearer token;
//   - the call ends when nothing moves for a while, however large the file: a
//     total deadline would have to be guessed from the size and the line;
//   - io.EOF from Send is not the error: it says that the server has answered
//     already, and CloseAndRecv gives that answer;
//   - a file is sent again after Unavailable and its like without any harm: the
//     same bytes for the same subject are the same image.
//
// It needs nothing of this repository but the generated contract. Against the
// development suite:
//
//	TOKEN=$(bin/clinctl token --sub me --role device --project demo) \
//	  go run ./docs/examples/uploadfile -patient demo-001 scan.dcm
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	dicompb "clinsource/proto/dicom"
)

const (
	chunkSize = 256 << 10 // Bytes; at most 1 MiB is taken.
	idleLimit = 30 * time.Second
)

type settings struct {
	address, serverName, ca, cert, key, patient, file string
}

func main() {
	var s settings
	flag.StringVar(&s.address, "addr", "127.0.0.1:9102", "address of dicom-rpc")
	flag.StringVar(&s.serverName, "server-name", "dicom-rpc", "the name in its certificate")
	flag.StringVar(&s.ca, "ca", "certs/dev/ca.crt", "certificate authority")
	flag.StringVar(&s.cert, "cert", "certs/dev/partner.crt", "own certificate")
	flag.StringVar(&s.key, "key", "certs/dev/partner.key", "its key")
	flag.StringVar(&s.patient, "patient", "", "the subject; empty: PatientID of the file")
	flag.Parse()
	s.file = flag.Arg(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s, os.Getenv("TOKEN")); err != nil {
		fmt.Fprintln(os.Stderr, "uploadfile:", explain(err))
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings, token string) error {
	if s.file == "" || token == "" {
		return errors.New("usage: TOKEN=... uploadfile [flags] FILE")
	}
	creds, err := mutualTLS(s)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(creds))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	resp, err := uploadFile(ctx, dicompb.NewDicomServiceClient(conn), s.file, s.patient, func(sent, size int64) {
		fmt.Fprintf(os.Stderr, "\r%d of %d bytes", sent, size)
	})
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return err
	}
	fmt.Printf("image %s, %d bytes, sha256 %s\n", resp.GetImageId(), resp.GetSize(), resp.GetSha256())
	for _, f := range resp.GetFindings() {
		fmt.Printf("  %s %s: %s\n", f.GetSeverity(), f.GetRuleId(), f.GetMessage())
	}
	return nil
}

func mutualTLS(s settings) (credentials.TransportCredentials, error) {
	own, err := tls.LoadX509KeyPair(s.cert, s.key)
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(s.ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", s.ca)
	}
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: s.serverName, RootCAs: roots, Certificates: []tls.Certificate{own},
	}), nil
}

// uploadFile sends the file and gives the server's answer; progress hears of
// each chunk.
func uploadFile(ctx context.Context, client dicompb.DicomServiceClient, path, patient string, progress func(sent, size int64)) (*dicompb.UploadDicomResponse, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	about, err := file.Stat()
	if err != nil {
		return nil, err
	}

	// Whatever way this function is left, the call ends with it.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(idleLimit, func() { cancel(fmt.Errorf("nothing moved for %v; try again", idleLimit)) })
	defer idle.Stop()

	stream, err := client.UploadDicom(ctx)
	if err != nil {
		return nil, err
	}
	size := uint64(about.Size())
	err = stream.Send(&dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Info{Info: &dicompb.FileInfo{
		FileName: filepath.Base(path), FileType: "dcm", Size: &size, PatientId: patient,
	}}})
	buf := make([]byte, chunkSize) // Send has copied it when it returns.
	for sent := int64(0); err == nil; {
		n, readErr := file.Read(buf)
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			return nil, readErr // And the server, cancelled, keeps nothing.
		}
		if n == 0 {
			break
		}
		err = stream.Send(&dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Chunk{Chunk: buf[:n]}})
		idle.Reset(idleLimit)
		sent += int64(n)
		progress(sent, about.Size())
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	resp, err := stream.CloseAndRecv() // The server syncs the file to disk before it answers.
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, fmt.Errorf("%w (%w)", cause, err)
	}
	return resp, err
}

// explain gives what the server says of an error: its code, its sentence, and
// the fields that were wrong.
func explain(err error) string {
	st, ok := status.FromError(err)
	if !ok {
		return err.Error()
	}
	text := fmt.Sprintf("%s: %s", st.Code(), st.Message())
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				text += fmt.Sprintf("\n  %s [%s] %s", v.GetField(), v.GetReason(), v.GetDescription())
			}
		case *errdetails.RetryInfo:
			text += fmt.Sprintf("\n  try again in %v", d.GetRetryDelay().AsDuration())
		}
	}
	return text
}
