package contract_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	dicompb "clinsource/proto/dicom"
	recordpb "clinsource/proto/record"
	vitalspb "clinsource/proto/vitals"
)

// vitalsStub and dicomStub serve our contracts; each test says what they do.
type vitalsStub struct {
	vitalspb.UnimplementedVitalsServiceServer
	upload func(context.Context, *vitalspb.UploadVitalsRequest) (*vitalspb.UploadVitalsResponse, error)
}

func (s vitalsStub) UploadVitals(ctx context.Context, in *vitalspb.UploadVitalsRequest) (*vitalspb.UploadVitalsResponse, error) {
	return s.upload(ctx, in)
}

type dicomStub struct {
	dicompb.UnimplementedDicomServiceServer
	upload func(grpc.ClientStreamingServer[dicompb.UploadDicomRequest, dicompb.UploadDicomResponse]) error
}

func (s dicomStub) UploadDicom(stream grpc.ClientStreamingServer[dicompb.UploadDicomRequest, dicompb.UploadDicomResponse]) error {
	return s.upload(stream)
}

// messageLimit is dicom-rpc's: one chunk of 1 MiB and its frame must pass.
const messageLimit = 2 << 20

// serve starts the stubs in memory and connects to them.
func serve(t *testing.T, vitals vitalsStub, dicom dicomStub) *grpc.ClientConn {
	t.Helper()
	server := grpc.NewServer(grpc.MaxRecvMsgSize(messageLimit))
	vitalspb.RegisterVitalsServiceServer(server, vitals)
	dicompb.RegisterDicomServiceServer(server, dicom)
	listener := bufconn.Listen(1 << 20)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient("passthrough:///in-memory",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// oldClient speaks one of the article's contracts and knows nothing of ours:
// messages are built and read by the article's descriptors alone.
type oldClient struct {
	contract protoreflect.FileDescriptor
}

func article(t *testing.T, name string) oldClient {
	t.Helper()
	return oldClient{compile(t, filepath.Join("testdata", "article"), name)[0]}
}

// message makes one of the article's messages, filled from JSON text.
func (c oldClient) message(t *testing.T, name protoreflect.Name, text string) *dynamicpb.Message {
	t.Helper()
	m := dynamicpb.NewMessage(c.contract.Messages().ByName(name))
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m
}

func get(m *dynamicpb.Message, name protoreflect.Name) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(name))
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestOldClientUploadsVitals(t *testing.T) {
	var got *vitalspb.UploadVitalsRequest
	conn := serve(t, vitalsStub{upload: func(_ context.Context, in *vitalspb.UploadVitalsRequest) (*vitalspb.UploadVitalsResponse, error) {
		got = in
		return &vitalspb.UploadVitalsResponse{
			Success: true, Message: "stored",
			RecordId: "r-1", Version: 1, Created: true,
			Findings:              []*recordpb.Finding{{RuleId: "a.rule", Severity: recordpb.Severity_QUERY}},
			BloodPressureCategory: vitalspb.BloodPressureCategory_ELEVATED,
		}, nil
	}}, dicomStub{})

	old := article(t, "vitals.proto")
	answer := old.message(t, "UploadVitalsResponse", `{}`)
	err := conn.Invoke(soon(t), "/vitals.VitalsService/UploadVitals", old.message(t, "UploadVitalsRequest", `{
		"patientId": "P-001", "measurementTime": "2026-03-01T08:00:00.5Z",
		"bloodPressure": {"systolic": 121, "diastolic": 79},
		"temperature": {"value": 98.6, "unit": "FAHRENHEIT"}}`), answer)
	if err != nil {
		t.Fatal(err)
	}

	want := &vitalspb.UploadVitalsRequest{
		PatientId:     "P-001",
		BloodPressure: &vitalspb.BloodPressure{Systolic: 121, Diastolic: 79},
		Temperature:   &vitalspb.Temperature{Value: 98.6, Unit: vitalspb.TemperatureUnit_FAHRENHEIT},
	}
	if at := got.GetMeasurementTime().AsTime(); !at.Equal(time.Date(2026, 3, 1, 8, 0, 0, 5e8, time.UTC)) {
		t.Errorf("measurement_time arrived as %v", at)
	}
	got.MeasurementTime = nil
	if !proto.Equal(got, want) {
		t.Errorf("arrived:\n%v\nwant, and no other field set:\n%v", got, want)
	}
	if !get(answer, "success").Bool() || get(answer, "message").String() != "stored" {
		t.Errorf("the article's answer reads %v", answer)
	}
	if len(answer.GetUnknown()) == 0 {
		t.Error("the answer carried none of the newer fields: this test shows nothing about tolerating them")
	}
}

// Celsius is 0 in the article, so its clients send nothing for it.
func TestOldClientsSilenceMeansCelsius(t *testing.T) {
	var got *vitalspb.Temperature
	conn := serve(t, vitalsStub{upload: func(_ context.Context, in *vitalspb.UploadVitalsRequest) (*vitalspb.UploadVitalsResponse, error) {
		got = in.GetTemperature()
		return &vitalspb.UploadVitalsResponse{}, nil
	}}, dicomStub{})
	old := article(t, "vitals.proto")
	err := conn.Invoke(soon(t), "/vitals.VitalsService/UploadVitals",
		old.message(t, "UploadVitalsRequest", `{"temperature": {"value": 37.2}}`), old.message(t, "UploadVitalsResponse", `{}`))
	if err != nil {
		t.Fatal(err)
	}
	if got.GetValue() != 37.2 || got.GetUnit() != vitalspb.TemperatureUnit_CELSIUS {
		t.Errorf("arrived as %v, want 37.2 CELSIUS", got)
	}
}

func TestOldClientSeesTheCode(t *testing.T) {
	conn := serve(t, vitalsStub{upload: func(context.Context, *vitalspb.UploadVitalsRequest) (*vitalspb.UploadVitalsResponse, error) {
		return nil, status.Error(codes.NotFound, "no such subject")
	}}, dicomStub{})
	old := article(t, "vitals.proto")
	err := conn.Invoke(soon(t), "/vitals.VitalsService/UploadVitals",
		old.message(t, "UploadVitalsRequest", `{}`), old.message(t, "UploadVitalsResponse", `{}`))
	if status.Code(err) != codes.NotFound || status.Convert(err).Message() != "no such subject" {
		t.Errorf("err = %v, want NotFound: no such subject", err)
	}
}

// openUpload begins the article's client stream.
func openUpload(t *testing.T, conn *grpc.ClientConn) grpc.ClientStream {
	t.Helper()
	stream, err := conn.NewStream(soon(t), &grpc.StreamDesc{ClientStreams: true}, "/dicom.DicomService/UploadDicom")
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// receive reads an upload as dicom-rpc does: info first, then the bytes.
func receive(stream grpc.ClientStreamingServer[dicompb.UploadDicomRequest, dicompb.UploadDicomResponse]) (*dicompb.FileInfo, []byte, error) {
	first, err := stream.Recv()
	if err != nil {
		return nil, nil, err
	}
	var content []byte
	for {
		next, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return first.GetInfo(), content, nil
		}
		if err != nil {
			return nil, nil, err
		}
		content = append(content, next.GetChunk()...)
	}
}

func TestOldClientUploadsDicom(t *testing.T) {
	const chunk = 1 << 20 // The article's buffer.
	file := make([]byte, 3*chunk+17)
	_, _ = rand.Read(file)

	var info *dicompb.FileInfo
	var content []byte
	conn := serve(t, vitalsStub{}, dicomStub{upload: func(stream grpc.ClientStreamingServer[dicompb.UploadDicomRequest, dicompb.UploadDicomResponse]) (err error) {
		if info, content, err = receive(stream); err != nil {
			return err
		}
		return stream.SendAndClose(&dicompb.UploadDicomResponse{
			Success: true, Size: uint64(len(content)), ImageId: "i-1", SopInstanceUid: "1.2.3",
		})
	}})

	old := article(t, "dicom.proto")
	stream := openUpload(t, conn)
	send := func(m *dynamicpb.Message) {
		t.Helper()
		if err := stream.SendMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	send(old.message(t, "UploadDicomRequest", `{"info": {"fileName": "a.dcm", "fileType": "dcm"}}`))
	for rest := file; len(rest) > 0; {
		n := min(chunk, len(rest))
		m := old.message(t, "UploadDicomRequest", `{}`)
		m.Set(m.Descriptor().Fields().ByName("chunk"), protoreflect.ValueOfBytes(rest[:n]))
		send(m)
		rest = rest[n:]
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	answer := old.message(t, "UploadDicomResponse", `{}`)
	if err := stream.RecvMsg(answer); err != nil {
		t.Fatal(err)
	}

	if !proto.Equal(info, &dicompb.FileInfo{FileName: "a.dcm", FileType: "dcm"}) {
		t.Errorf("info arrived as %v, want name and type and no other field set", info)
	}
	if !bytes.Equal(content, file) {
		t.Errorf("%d bytes arrived, not the %d that were sent", len(content), len(file))
	}
	if !get(answer, "success").Bool() || get(answer, "size").Uint() != uint64(len(file)) {
		t.Errorf("the article's answer reads %v", answer)
	}
	if len(answer.GetUnknown()) == 0 {
		t.Error("the answer carried none of the newer fields: this test shows nothing about tolerating them")
	}
}

// A refusal in the middle of the stream reaches the old client as a status:
// its next send gives io.EOF, and receiving then gives the reason.
func TestOldClientSeesARefusedUpload(t *testing.T) {
	conn := serve(t, vitalsStub{}, dicomStub{upload: func(stream grpc.ClientStreamingServer[dicompb.UploadDicomRequest, dicompb.UploadDicomResponse]) error {
		first, err := stream.Recv()
		if err != nil {
			return err
		}
		if first.GetInfo() == nil {
			return status.Error(codes.InvalidArgument, "the first message must hold info")
		}
		return status.Error(codes.Internal, "info arrived although none was sent")
	}})
	old := article(t, "dicom.proto")
	stream := openUpload(t, conn)
	for {
		err := stream.SendMsg(old.message(t, "UploadDicomRequest", `{"chunk": "AAAA"}`))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	err := stream.RecvMsg(old.message(t, "UploadDicomResponse", `{}`))
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("err = %v, want InvalidArgument", err)
	}
}
