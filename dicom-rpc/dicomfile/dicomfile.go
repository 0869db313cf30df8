// Package dicomfile looks at a DICOM file before anything else does. An
// uploaded image is bytes from outside: a parser that trusts its length fields
// can be made to allocate gigabytes, recurse until the stack ends or read past
// the file, and the usual libraries do all three. Scan walks the whole data set
// of a file that already lies on disk, from the preamble to the last pixel
// fragment, and touches only headers: values are stepped over by offset, the
// stack is a slice with a depth limit, and a scan holds a few dozen kilobytes
// whether the file has 500 bytes or 16 GiB.
//
// It answers three things. Who: the UIDs, the patient id, the study date
// (Header). Whether the file is whole and can be filed: if not, the error is a
// *Refusal with a stable reason (Reasons lists them all). And what is odd about
// it though it is stored as it came: Findings (Rules lists them).
//
// The package decides by the standard (PS3.5 and PS3.10), and where real files
// leave it (odd lengths, UIDs under VR UN, implicit data sets announced as
// explicit, a missing last delimiter) it follows what dcmtk and pydicom can
// read, and says so in a finding. It never decodes pixels; it compares the head
// of the first compressed frame with what the data set says about it.
//
// WriteSynthetic is the other direction: a small writer of valid images of any
// size, for the demo, the tests and the benchmarks.
package dicomfile

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Header is what a scan learned about one file. Text values are trimmed of
// padding; UIDs are well-formed (digits and dots, 1 to 64 characters) or empty.
// After a refusal it holds what was read until then.
type Header struct {
	TransferSyntax       string // (0002,0010)
	MediaStorageClass    string // (0002,0002), may be empty
	MediaStorageInstance string // (0002,0003), may be empty

	SOPClassUID       string // (0008,0016)
	SOPInstanceUID    string // (0008,0018)
	StudyInstanceUID  string // (0020,000D)
	SeriesInstanceUID string // (0020,000E)

	// PatientID is (0010,0020), valid UTF-8, at most 64 characters; it is a
	// patient's data: compare it, do not log it. Empty when absent or longer.
	PatientID string

	StudyDate   string    // (0008,0020) as it stands in the file
	StudyDay    time.Time // the same at midnight UTC; zero unless StudyDateOK
	StudyDateOK bool      // StudyDate is a calendar day

	Modality string // (0008,0060), at most 16 characters

	// Of the image, where readable; 0 when absent. NumberOfFrames is 1 for an
	// image without the element and 0 where its text is not a positive number.
	Rows           int // pixels
	Columns        int // pixels
	BitsAllocated  int // bits per sample
	NumberOfFrames int

	// DataSetEnd is the offset in the file of the first byte after the data set.
	DataSetEnd int64

	// Findings has one entry per rule, in the order of their first appearance.
	Findings []Finding
}

// Limits bound the work of one scan. A zero field means its default.
type Limits struct {
	Depth int // sequences inside one another; default 64
	// Elements counts elements and items on all levels; default 100 000. The
	// file's own size adds one for every 4 KiB, because an enhanced
	// multi-frame object carries some dozen elements for each frame.
	Elements int
	// Fragments counts items of encapsulated pixel data, which real
	// whole-slide images have by the hundred thousand; default 4 194 304.
	Fragments int
	MetaBytes int64 // size of group 0002; default 64 KiB
	// InflateRatio is how many bytes one byte of a deflated data set may
	// become, once it is beyond InflateFloor bytes; defaults 100 and 16 MiB.
	// Beyond 16 GiB nothing is inflated.
	InflateRatio int64
	InflateFloor int64
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.Depth, 64)
	setDefault(&l.Elements, 100_000)
	setDefault(&l.Fragments, 4<<20)
	setDefault(&l.MetaBytes, 64<<10)
	setDefault(&l.InflateRatio, 100)
	setDefault(&l.InflateFloor, 16<<20)
	return l
}

func setDefault[N int | int64](n *N, value N) {
	if *n <= 0 {
		*n = value
	}
}

// Scan reads the structure of the DICOM Part 10 file of size bytes behind r.
// A file that cannot be stored gives a *Refusal; a failing r gives r's error
// wrapped; a cancelled ctx gives its cause within some hundred elements. Scan
// keeps nothing of r and allocates a bounded amount, whatever the file says.
//
// Offsets in refusals and findings are offsets in the file; inside a deflated
// data set they tell how far its compressed bytes had been read, which runs
// some kilobytes ahead of the element concerned.
func Scan(ctx context.Context, r io.ReaderAt, size int64, lim Limits) (Header, error) {
	if size < 0 {
		return Header{}, fmt.Errorf("scan a DICOM file: size %d is negative", size)
	}
	s := &scanner{ctx: ctx, lim: lim.withDefaults(), src: newFileSource(r, size), size: size}
	err := s.scan()
	return s.h, err
}
