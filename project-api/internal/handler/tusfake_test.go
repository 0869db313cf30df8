package handler_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/callinfo"
	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
	recordpb "clinsource/proto/record"
)

// shelf is dicom-rpc as its contract describes it, on a real gRPC connection: it
// takes uploads in any number of streams, keeps what each brought, and has judge
// decide on the whole file.
type shelf struct {
	dicompb.UnimplementedDicomServiceServer
	judge func(data []byte) error // Of the whole file; nil takes all.
	stop  func(got int) error     // After each chunk of a stream; not nil ends the stream, errStop without an error.

	mu      sync.Mutex
	uploads map[string]*entry
	calls   []string // What was asked, with whose token and request id.
}

// entry is one upload with its bytes.
type entry struct {
	state *dicompb.Upload
	data  []byte
	epoch int
	asked *dicompb.CreateUploadRequest
}

var errStop = errors.New("stop")

// expires is when every open upload of a shelf does.
var expires = time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)

// client serves the shelf and gives a client of it.
func (s *shelf) client(t *testing.T) dicompb.DicomServiceClient {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	dicompb.RegisterDicomServiceServer(server, s)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///shelf",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			s.note(ctx, method)
			if _, ok := ctx.Deadline(); !ok {
				return fmt.Errorf("%s has no deadline", method)
			}
			return invoke(ctx, method, req, reply, cc, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			s.note(ctx, method)
			return streamer(ctx, desc, cc, method, opts...)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return dicompb.NewDicomServiceClient(conn)
}

func (s *shelf) note(ctx context.Context, method string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, method+" "+callinfo.Authorization(ctx)+" "+callinfo.RequestID(ctx))
}

// get gives an upload's bytes and state.
func (s *shelf) get(id string) ([]byte, *dicompb.Upload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.uploads[id]
	if e == nil {
		return nil, nil
	}
	return slices.Clone(e.data), e.told()
}

// set changes an upload.
func (s *shelf) set(id string, change func(*entry)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.uploads[id])
}

func (e *entry) told() *dicompb.Upload {
	e.state.Offset = uint64(len(e.data))
	out := proto.Clone(e.state).(*dicompb.Upload)
	if out.GetState() != dicompb.UploadState_OPEN {
		out.ExpiresTime = nil
	}
	return out
}

func (s *shelf) CreateUpload(_ context.Context, in *dicompb.CreateUploadRequest) (*dicompb.Upload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.GetSize() == 0 {
		return nil, fault.InvalidFields([]fault.Violation{{Field: "size", Rule: "dicom.size_missing", Message: "is required"}})
	}
	if in.GetProjectId() == "full" {
		return nil, fault.Exhausted(fault.ReasonQuotaExceeded, "no room", time.Minute)
	}
	for _, e := range s.uploads {
		if in.GetResume() && e.state.GetState() == dicompb.UploadState_OPEN && proto.Equal(e.asked, in) {
			return e.told(), nil
		}
	}
	if s.uploads == nil {
		s.uploads = map[string]*entry{}
	}
	id := fmt.Sprintf("secret-upload-%d", len(s.uploads)+1)
	for _, e := range s.uploads { // The image is there already.
		if in.GetSha256() != "" && e.state.GetImage().GetSha256() == in.GetSha256() {
			there := proto.Clone(e.state).(*dicompb.Upload)
			there.UploadId, there.Image.UploadId, there.Image.Created = id, id, false
			s.uploads[id] = &entry{state: there, data: e.data, asked: in}
			return s.uploads[id].told(), nil
		}
	}
	s.uploads[id] = &entry{asked: in, state: &dicompb.Upload{
		UploadId: id, State: dicompb.UploadState_OPEN, Size: in.GetSize(), Sha256: in.GetSha256(), PatientId: in.GetPatientId(),
		ProjectId: in.GetProjectId(), FileName: in.GetFileName(), ExpiresTime: timestamppb.New(expires),
	}}
	return s.uploads[id].told(), nil
}

var errNoUpload = fault.NotFound(fault.ReasonUploadNotFound, "there is no such upload")

func (s *shelf) GetUpload(_ context.Context, in *dicompb.GetUploadRequest) (*dicompb.Upload, error) {
	if _, upload := s.get(in.GetUploadId()); upload != nil {
		return upload, nil
	}
	return nil, errNoUpload
}

func (s *shelf) AbortUpload(_ context.Context, in *dicompb.AbortUploadRequest) (*dicompb.Upload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.uploads[in.GetUploadId()]
	if e == nil {
		return nil, errNoUpload
	}
	if e.state.GetState() == dicompb.UploadState_OPEN {
		e.state.State, e.data = dicompb.UploadState_ABORTED, nil
		e.epoch++
	}
	return e.told(), nil
}

func (s *shelf) UploadDicom(stream dicompb.DicomService_UploadDicomServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	info := first.GetInfo()
	epoch, err := s.take(info)
	if err != nil {
		return err
	}
	for got := 0; ; {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := s.add(info.GetUploadId(), epoch, msg.GetChunk()); err != nil {
			return err
		}
		got += len(msg.GetChunk())
		if s.stop == nil {
			continue
		}
		if err := s.stop(got); errors.Is(err, errStop) {
			break
		} else if err != nil {
			return err
		}
	}
	out, err := s.end(info.GetUploadId())
	if err != nil {
		return err
	}
	return stream.SendAndClose(out)
}

// take begins a stream: the newest one has the upload.
func (s *shelf) take(info *dicompb.FileInfo) (epoch int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.uploads[info.GetUploadId()]
	switch {
	case e == nil:
		return 0, errNoUpload
	case info.GetOffset() != uint64(len(e.data)):
		return 0, errOffset
	}
	e.epoch++
	return e.epoch, nil
}

var errOffset = &fault.Error{Code: codes.Aborted, Reason: fault.ReasonUploadOffset, Message: "the upload goes on elsewhere"}

func (s *shelf) add(id string, epoch int, chunk []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.uploads[id]
	if e.epoch != epoch {
		return errOffset
	}
	e.data = append(e.data, chunk...)
	return nil
}

// end judges a file that is whole.
func (s *shelf) end(id string) (*dicompb.UploadDicomResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.uploads[id]
	if uint64(len(e.data)) < e.state.GetSize() {
		return &dicompb.UploadDicomResponse{UploadId: id, Offset: uint64(len(e.data))}, nil
	}
	if s.judge != nil {
		if err := s.judge(e.data); err != nil {
			e.state.State, e.state.Refusal = dicompb.UploadState_REFUSED, "dicom.truncated: part of it is missing"
			return nil, err
		}
	}
	sum := sha256.Sum256(e.data)
	e.state.State = dicompb.UploadState_COMPLETE
	e.state.Image = &dicompb.UploadDicomResponse{
		Success: true, Size: e.state.GetSize(), ImageId: "image-of-" + id, Sha256: hex.EncodeToString(sum[:]), Created: true, UploadId: id,
		Offset: e.state.GetSize(), Findings: []*recordpb.Finding{{RuleId: "dicom.one"}, {RuleId: "dicom.two"}},
	}
	return e.state.GetImage(), nil
}
