package chunks

import (
	"bytes"
	"testing"

	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	dicompb "clinsource/proto/dicom"
)

func encoded(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func chunk(b []byte) *dicompb.UploadDicomRequest {
	return &dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Chunk{Chunk: b}}
}

// inPieces gives a message as the transport does, in pieces of at most n bytes.
func inPieces(b []byte, n int) (pieces mem.BufferSlice) {
	for len(b) > 0 {
		piece := b[:min(n, len(b))]
		pieces, b = append(pieces, mem.SliceBuffer(piece)), b[len(piece):]
	}
	return pieces
}

func codecOfProcess(t testing.TB) encoding.CodecV2 {
	t.Helper()
	c := encoding.GetCodecV2(grpcproto.Name)
	if _, ok := c.(codec); !ok {
		t.Fatalf("the process's codec is %T", c)
	}
	return c
}

// FuzzDecode holds the Reader's message against protobuf's own reading of the
// same bytes, a message after another in the same buffer.
func FuzzDecode(f *testing.F) {
	info := encoded(f, &dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Info{Info: &dicompb.FileInfo{FileName: "a.dcm"}}})
	one := encoded(f, chunk([]byte("bytes")))
	f.Add(one, 3)
	f.Add(info, 100)
	f.Add([]byte{}, 1)
	f.Add(encoded(f, chunk(nil)), 1)
	f.Add(append(bytes.Clone(one), info...), 5)                    // The last member wins.
	f.Add(append(bytes.Clone(info), one...), 5)                    // As here.
	f.Add(append(bytes.Clone(one), 0xF8, 0x01, 0x01), 5)           // An unknown field.
	f.Add([]byte{0x92, 0x80, 0x80, 0x00, 0x02, 'a', 'b'}, 7)       // A long way to write the tag.
	f.Add([]byte{0x12, 0x05, 'a'}, 7)                              // Cut.
	f.Add([]byte{0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 'a', 'b'}, 7) // A length beyond.
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		if piece < 1 {
			piece = 1
		}
		codec := codecOfProcess(t)
		var m message
		for _, part := range [][]byte{info, one, b, one} {
			var want dicompb.UploadDicomRequest
			wantErr := proto.Unmarshal(part, &want)
			err := codec.Unmarshal(inPieces(part, piece), &m)
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("error %v, want %v", err, wantErr)
			}
			if err == nil && !sameData(&m.request, &want) {
				t.Fatalf("%v, want %v", &m.request, &want)
			}
		}
	})
}

// sameData compares without unknown fields, which nobody asks an upload for.
func sameData(a, b *dicompb.UploadDicomRequest) bool {
	return proto.Equal(&dicompb.UploadDicomRequest{Data: a.Data}, &dicompb.UploadDicomRequest{Data: b.Data})
}

func TestOtherMessagesAreLeftToProtobuf(t *testing.T) {
	codec := codecOfProcess(t)
	want := &dicompb.ListImagesRequest{PatientId: "s-01"}
	var got dicompb.ListImagesRequest
	if err := codec.Unmarshal(inPieces(encoded(t, want), 2), &got); err != nil || !proto.Equal(&got, want) {
		t.Errorf("%v, %v", &got, err)
	}
	b, err := codec.Marshal(want)
	if err != nil || !bytes.Equal(b.Materialize(), encoded(t, want)) {
		t.Errorf("%v, %v", b, err)
	}
}

func TestChunksAreNotAllocated(t *testing.T) {
	codec := codecOfProcess(t)
	b := inPieces(encoded(t, chunk(make([]byte, 256<<10))), 16<<10)
	var m message
	decode := func() {
		if err := codec.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, decode); n > 0 {
		t.Errorf("%v allocations a chunk", n)
	}
}
