// Package chunks receives the messages of an upload without allocating for each
// one. What stream.Recv gives is a new message with a new copy of its chunk: for
// a file of 500 MB some 500 MB of garbage, and a heap whose size follows the
// chunks that callers choose. A Reader has one buffer, which holds one message.
//
// It does so by a codec: this package, imported, replaces grpc's "proto" codec of
// the process by one that knows the Reader's message and leaves all others to the
// codec that it replaces.
package chunks

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	dicompb "clinsource/proto/dicom"
)

// Reader receives the messages of one upload.
type Reader struct {
	stream grpc.ServerStream
	msg    message
}

// NewReader makes the reader of an upload's stream; nobody else may receive from
// it.
func NewReader(stream grpc.ServerStream) *Reader { return &Reader{stream: stream} }

// Recv gives the next message, and its errors are those of stream.Recv. The
// chunk holds until the next call.
func (r *Reader) Recv() (*dicompb.UploadDicomRequest, error) {
	if err := r.stream.RecvMsg(&r.msg); err != nil {
		return nil, err
	}
	return &r.msg.request, nil
}

// message is an UploadDicomRequest with the buffer that its chunk lies in.
type message struct {
	request dicompb.UploadDicomRequest
	chunk   dicompb.UploadDicomRequest_Chunk
	buffer  []byte
}

var chunkField = (&dicompb.UploadDicomRequest{}).ProtoReflect().Descriptor().Fields().ByName("chunk").Number()

// decode takes over a message as it came over the wire.
func (m *message) decode(data mem.BufferSlice) error {
	if n := data.Len(); cap(m.buffer) < n {
		m.buffer = make([]byte, n)
	}
	m.buffer = m.buffer[:data.Len()]
	data.CopyTo(m.buffer)
	if chunk, ok := onlyChunk(m.buffer); ok {
		m.chunk.Chunk = chunk
		m.request.Data = &m.chunk
		return nil
	}
	return proto.Unmarshal(m.buffer, &m.request) // The info, or a form that no usual encoder writes.
}

// onlyChunk gives the chunk of an encoded message that holds just that.
func onlyChunk(b []byte) ([]byte, bool) {
	field, kind, n := protowire.ConsumeTag(b)
	if n < 0 || field != chunkField || kind != protowire.BytesType {
		return nil, false
	}
	chunk, m := protowire.ConsumeBytes(b[n:])
	return chunk, m == len(b)-n
}

type codec struct{ encoding.CodecV2 }

func init() { encoding.RegisterCodecV2(codec{encoding.GetCodecV2(grpcproto.Name)}) }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if m, ok := v.(*message); ok {
		return m.decode(data)
	}
	return c.CodecV2.Unmarshal(data, v)
}
