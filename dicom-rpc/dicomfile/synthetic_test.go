package dicomfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"
)

var fixedSpec = SyntheticSpec{
	PatientID: "demo-001", StudyDate: time.Date(2024, 3, 1, 23, 0, 0, 0, time.FixedZone("CET", 3600)),
	StudyUID: "1.2.3", SeriesUID: "1.2.3.4", InstanceUID: "1.2.3.4.5", Rows: 65, Columns: 33, Frames: 3, Seed: 7,
}

func TestWriteSyntheticPassesTheScan(t *testing.T) {
	for _, spec := range []SyntheticSpec{fixedSpec, {}, {Rows: 1, Columns: 1}, {PatientID: "odd", Frames: 10, Rows: 7, Columns: 5}} {
		var out bytes.Buffer
		n, err := WriteSynthetic(&out, spec)
		if err != nil || n != int64(out.Len()) || n%2 != 0 {
			t.Fatalf("%d bytes of %d: %v", n, out.Len(), err)
		}
		h, err := scanBytes(t, out.Bytes())
		if err != nil || len(h.Findings) > 0 || h.DataSetEnd != n {
			t.Fatalf("%v, findings %v, end %d of %d", err, h.Findings, h.DataSetEnd, n)
		}
		if h.PatientID != spec.PatientID || spec.StudyUID != "" && h.StudyInstanceUID != spec.StudyUID || h.NumberOfFrames != max(1, spec.Frames) {
			t.Errorf("spec %+v came back as %+v", spec, h)
		}
		for cut := int64(0); cut < n; cut += 1 + n/300 {
			if h, err := scanBytes(t, out.Bytes()[:cut]); err == nil && len(h.Findings) == 0 {
				t.Fatalf("cut at %d of %d: taken for whole", cut, n)
			}
		}
	}
}

func TestWriteSyntheticKeepsTheDay(t *testing.T) {
	var out bytes.Buffer
	if _, err := WriteSynthetic(&out, fixedSpec); err != nil {
		t.Fatal(err)
	}
	h, err := scanBytes(t, out.Bytes())
	if err != nil || h.StudyDate != "20240301" || !h.StudyDateOK || !h.StudyDay.Equal(time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%v, %q %v", err, h.StudyDate, h.StudyDay)
	}
}

func TestWriteSyntheticIsRepeatableAndAPicture(t *testing.T) {
	var one, two, other bytes.Buffer
	reseeded := fixedSpec
	reseeded.Seed++
	for w, spec := range map[*bytes.Buffer]SyntheticSpec{&one: fixedSpec, &two: fixedSpec, &other: reseeded} {
		if _, err := WriteSynthetic(w, spec); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) || bytes.Equal(one.Bytes(), other.Bytes()) {
		t.Error("the same spec must give the same bytes, another seed others")
	}
	pixels := one.Bytes()[one.Len()-int(fixedSpec.pixelBytes()):]
	corner := binary.LittleEndian.Uint16(pixels)
	disc := binary.LittleEndian.Uint16(pixels[2*(32*33+22):])
	if disc < corner+1000 || disc > 4095 {
		t.Errorf("corner %d, disc %d: no picture of 12 bits", corner, disc)
	}
}

func TestWriteSyntheticRefuses(t *testing.T) {
	for name, spec := range map[string]SyntheticSpec{
		"4 GiB":      {Rows: 32768, Columns: 65535, Frames: 2},
		"overflow":   {Rows: 65535, Columns: 65535, Frames: math.MaxInt},
		"rows":       {Rows: 65536},
		"negative":   {Frames: -1},
		"uid":        {StudyUID: "../x"},
		"patient id": {PatientID: strings.Repeat("x", 65)},
	} {
		if n, err := WriteSynthetic(io.Discard, spec); err == nil || n != 0 {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
}

type fullDisk struct{ left int }

var errFull = errors.New("no space left on device")

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteSyntheticReportsTheWriter(t *testing.T) {
	if _, err := WriteSynthetic(&fullDisk{left: 200_000}, SyntheticSpec{}); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
}

func TestNewUID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		uid := NewUID()
		if !validUID(uid) || len(uid) > 44 || !strings.HasPrefix(uid, "2.25.") || seen[uid] {
			t.Fatalf("%q", uid)
		}
		seen[uid] = true
	}
}

// sparse is a file of any size: a real header, then made-up bytes.
type sparse struct {
	head []byte
	size int64
	read int64
}

func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	n := int(min(int64(len(p)), s.size-off))
	for i := range p[:n] {
		p[i] = byte(off) // not zero, not DICOM
	}
	if off < int64(len(s.head)) {
		copy(p[:n], s.head[off:])
	}
	s.read += int64(n)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func sparseSynthetic(t testing.TB, frames int) *sparse {
	t.Helper()
	spec, err := SyntheticSpec{Rows: 1024, Columns: 1024, Frames: frames}.complete()
	if err != nil {
		t.Fatal(err)
	}
	head := spec.header()
	return &sparse{head: head, size: int64(len(head)) + int64(spec.pixelBytes())}
}

// fragmented is a file of 16 GiB: n fragments of RLE in one image.
type fragmented struct {
	head []byte
	each int64 // bytes of a fragment with its header
	n    int64
}

func (f *fragmented) size() int64 { return int64(len(f.head)) + f.n*f.each + 8 }

func (f *fragmented) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		at := off + int64(i)
		if at >= f.size() {
			return i, io.EOF
		}
		p[i] = f.at(at)
	}
	return len(p), nil
}

func (f *fragmented) at(off int64) byte {
	if off < int64(len(f.head)) {
		return f.head[off]
	}
	off -= int64(len(f.head))
	switch in := off % f.each; {
	case off/f.each == f.n:
		return "\xFE\xFF\xDD\xE0\x00\x00\x00\x00"[in]
	case in < 4:
		return "\xFE\xFF\x00\xE0"[in]
	case in < 8:
		return byte((f.each - 8) >> (8 * (in - 4)))
	}
	return 'x'
}

// allocated gives the bytes that f allocates in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestScanAllocatesLittle(t *testing.T) {
	image := explicit().ids().image()
	head := part10(rleTS, image.undefined(tagPixels, "OB").item(tagItem, 0).b)
	huge := &fragmented{head: head, each: 4<<20 + 8, n: 4096} // 16 GiB
	flat := sparseSynthetic(t, 1024)                          // 2 GiB
	blank := part10(deflated, deflate(t, explicit().ids().el(0x00411010, "OB", string(make([]byte, 12<<20))).b))
	for name, scan := range map[string]func() (Header, error){
		"2 GiB of frames":     func() (Header, error) { return Scan(t.Context(), flat, flat.size, Limits{}) },
		"16 GiB of fragments": func() (Header, error) { return Scan(t.Context(), huge, huge.size(), Limits{}) },
		"12 MiB inflated":     func() (Header, error) { return scanBytes(t, blank) },
	} {
		var h Header
		var err error
		bytes := allocated(func() { h, err = scan() })
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if bytes > 1<<20 {
			t.Errorf("%s: %d bytes allocated", name, bytes)
		}
		t.Logf("%s: %d KiB allocated, findings %v", name, bytes>>10, h.Findings)
	}
	if flat.read > 64<<10 {
		t.Errorf("%d bytes read of a 2 GiB file with one native value", flat.read)
	}
}

func BenchmarkScan500MB(b *testing.B) {
	file := sparseSynthetic(b, 250)
	b.ReportAllocs()
	b.SetBytes(file.size)
	for b.Loop() {
		if _, err := Scan(b.Context(), file, file.size, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScan100kElements(b *testing.B) {
	file := part10(explicitLE, explicit().ids().raw(strings.Repeat("\x11\x00\x01\x10LO\x02\x00ab", 99_000)).b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := scanBytes(b, file); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteSynthetic(b *testing.B) {
	spec := SyntheticSpec{Rows: 512, Columns: 512, Frames: 20}
	b.SetBytes(512 * 512 * 2 * 20)
	for b.Loop() {
		if _, err := WriteSynthetic(io.Discard, spec); err != nil {
			b.Fatal(err)
		}
	}
}
