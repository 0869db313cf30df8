package dicomfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// MaxSyntheticPixels is the largest pixel data of WriteSynthetic in bytes: the
// largest even length that a 32-bit field can state.
const MaxSyntheticPixels = math.MaxUint32 - 1

// SyntheticSpec describes an image for WriteSynthetic. Empty UIDs are made by
// NewUID. The same spec with UIDs given makes the same bytes.
type SyntheticSpec struct {
	PatientID   string    // up to 64 characters
	StudyDate   time.Time // the day, in its own location; zero leaves the date empty
	StudyUID    string
	SeriesUID   string
	InstanceUID string
	Rows        int    // pixels, 1..65535; 0 means 512
	Columns     int    // pixels, 1..65535; 0 means 512
	Frames      int    // 0 means 1
	Seed        uint64 // of the noise
}

// WriteSynthetic writes a valid DICOM Part 10 file: a Multi-frame Grayscale
// Word Secondary Capture image in Explicit VR Little Endian, a bright disc on a
// gradient that moves from frame to frame, with a little noise, 12 bits in 16.
// It holds one row of pixels at a time and gives the number of bytes written.
// Errors are those of w, and of a spec that no file can express.
func WriteSynthetic(w io.Writer, spec SyntheticSpec) (int64, error) {
	spec, err := spec.complete()
	if err != nil {
		return 0, fmt.Errorf("write a synthetic image: %w", err)
	}
	out := &countedWriter{w: w}
	buffered := bufio.NewWriterSize(out, 64<<10)
	if _, err := buffered.Write(spec.header()); err != nil {
		return out.n, err
	}
	if err := spec.writePixels(buffered); err != nil {
		return out.n, err
	}
	err = buffered.Flush()
	return out.n, err
}

func (spec SyntheticSpec) complete() (SyntheticSpec, error) {
	if spec.Rows < 0 || spec.Columns < 0 || spec.Frames < 0 {
		return spec, errors.New("rows, columns and frames cannot be negative")
	}
	setDefault(&spec.Rows, 512)
	setDefault(&spec.Columns, 512)
	setDefault(&spec.Frames, 1)
	if spec.Rows > math.MaxUint16 || spec.Columns > math.MaxUint16 {
		return spec, fmt.Errorf("%d rows and %d columns: at most 65535 each", spec.Rows, spec.Columns)
	}
	if int64(spec.Frames) > MaxSyntheticPixels/spec.frameBytes() {
		return spec, fmt.Errorf("%d frames of %d bytes: at most %d bytes of pixels fit into one file", spec.Frames, spec.frameBytes(), int64(MaxSyntheticPixels))
	}
	if len(spec.PatientID) > 64 {
		return spec, errors.New("the patient id has more than 64 characters")
	}
	for _, uid := range []*string{&spec.StudyUID, &spec.SeriesUID, &spec.InstanceUID} {
		if *uid == "" {
			*uid = NewUID()
		}
		if !validUID(*uid) {
			return spec, errors.New("a UID of the spec is not 1 to 64 digits and dots")
		}
	}
	return spec, nil
}

func (spec SyntheticSpec) frameBytes() int64  { return int64(spec.Rows) * int64(spec.Columns) * 2 }
func (spec SyntheticSpec) pixelBytes() uint32 { return uint32(spec.frameBytes() * int64(spec.Frames)) }

const (
	multiframeWordSC = "1.2.840.10008.5.1.4.1.1.7.3"
	explicitLittle   = "1.2.840.10008.1.2.1"
	// implementationClass is ours: a 2.25 UID once made and never changed.
	implementationClass = "2.25.194682650419938437224611384220786913721"
)

// header is everything before the first pixel.
func (spec SyntheticSpec) header() []byte {
	var meta elements
	meta.bytes(0x00020001, "OB", []byte{0, 1})
	meta.uid(tagMediaClass, multiframeWordSC)
	meta.uid(tagMediaInstance, spec.InstanceUID)
	meta.uid(tagTransferSyntax, explicitLittle)
	meta.uid(0x00020012, implementationClass)
	meta.text(0x00020013, "SH", "CLINSOURCE")

	out := elements(append(make([]byte, 128), "DICM"...))
	out.bytes(tagMetaLength, "UL", binary.LittleEndian.AppendUint32(nil, uint32(len(meta))))
	out = append(out, meta...)
	spec.describe(&out)
	return out.head(tagPixels, "OW", spec.pixelBytes())
}

// describe writes the data set up to the pixels, by the modules that the class
// requires (PS3.3 A.8.4).
func (spec SyntheticSpec) describe(out *elements) {
	date := ""
	if !spec.StudyDate.IsZero() {
		date = spec.StudyDate.Format("20060102")
	}
	out.text(tagCharset, "CS", "ISO_IR 192")
	out.text(0x00080008, "CS", `DERIVED\SECONDARY`)
	out.uid(tagSOPClass, multiframeWordSC)
	out.uid(tagSOPInstance, spec.InstanceUID)
	out.text(tagStudyDate, "DA", date)
	out.text(0x00080023, "DA", date)
	out.text(0x00080030, "TM", "")
	out.text(0x00080033, "TM", "")
	out.text(0x00080050, "SH", "")
	out.text(tagModality, "CS", "OT")
	out.text(0x00080064, "CS", "SYN")
	out.text(0x00080070, "LO", "clinsource")
	out.text(0x00080090, "PN", "")
	out.text(0x00100010, "PN", "")
	out.text(tagPatientID, "LO", spec.PatientID)
	out.text(0x00100030, "DA", "")
	out.text(0x00100040, "CS", "")
	out.text(0x00181063, "DS", "40") // FrameTime, ms
	out.uid(tagStudyInstance, spec.StudyUID)
	out.uid(tagSeriesInstance, spec.SeriesUID)
	out.text(0x00200010, "SH", "")
	out.text(0x00200011, "IS", "1")
	out.text(0x00200013, "IS", "1")
	out.text(0x00200020, "CS", "")
	out.number(tagSamples, 1)
	out.text(tagPhotometric, "CS", "MONOCHROME2")
	out.text(tagFrames, "IS", strconv.Itoa(spec.Frames))
	out.bytes(0x00280009, "AT", []byte{0x18, 0, 0x63, 0x10}) // frames follow by FrameTime
	out.number(tagRows, uint16(spec.Rows))
	out.number(tagColumns, uint16(spec.Columns))
	out.number(tagBitsAllocated, 16)
	out.number(tagBitsStored, 12)
	out.number(tagHighBit, 11)
	out.number(tagPixelRep, 0)
	out.text(0x00280301, "CS", "NO")
	out.text(0x00281052, "DS", "0")
	out.text(0x00281053, "DS", "1")
	out.text(0x00281054, "LO", "US")
	out.text(0x20500020, "CS", "IDENTITY")
}

// writePixels draws row by row: a diagonal gradient, a disc that goes round
// once in 64 frames, and four bits of noise.
func (spec SyntheticSpec) writePixels(w io.Writer) error {
	row := make([]byte, 2*spec.Columns)
	noise := spec.Seed
	for frame := range spec.Frames {
		angle := 2 * math.Pi * float64(frame) / 64
		disc := disc{
			x: spec.Columns/2 + int(math.Cos(angle)*float64(spec.Columns)/5),
			y: spec.Rows/2 + int(math.Sin(angle)*float64(spec.Rows)/5),
			r: min(spec.Rows, spec.Columns) / 5,
		}
		for y := range spec.Rows {
			left, right := disc.span(y)
			for x := range spec.Columns {
				value := uint16((x*1200)/spec.Columns + (y*1200)/spec.Rows + 200)
				if x >= left && x < right {
					value += 1200
				}
				noise = noise*6364136223846793005 + 1442695040888963407 // Knuth's MMIX generator
				binary.LittleEndian.PutUint16(row[2*x:], value+uint16(noise>>60))
			}
			if _, err := w.Write(row); err != nil {
				return err
			}
		}
	}
	return nil
}

type disc struct{ x, y, r int }

// span gives the columns of row y that the disc covers.
func (d disc) span(y int) (left, right int) {
	dy := y - d.y
	if dy < -d.r || dy > d.r {
		return 0, 0
	}
	half := int(math.Sqrt(float64(d.r*d.r - dy*dy)))
	return d.x - half, d.x + half
}

// elements is a data set being written in Explicit VR Little Endian.
type elements []byte

// head appends an element header and gives the bytes so far.
func (e *elements) head(tag Tag, vr string, length uint32) []byte {
	o := binary.LittleEndian
	b := o.AppendUint16(o.AppendUint16(*e, tag.group()), uint16(tag))
	b = append(b, vr...)
	if vrOf(vr[0], vr[1]).form() == formLong {
		b = o.AppendUint32(append(b, 0, 0), length)
	} else {
		b = o.AppendUint16(b, uint16(length))
	}
	*e = b
	return b
}

func (e *elements) bytes(tag Tag, vr string, value []byte) {
	*e = append(e.head(tag, vr, uint32(len(value))), value...)
}

func (e *elements) text(tag Tag, vr, value string) {
	if len(value)%2 == 1 {
		value += " "
	}
	e.bytes(tag, vr, []byte(value))
}

func (e *elements) uid(tag Tag, value string) {
	if len(value)%2 == 1 {
		value += "\x00"
	}
	e.bytes(tag, "UI", []byte(value))
}

func (e *elements) number(tag Tag, value uint16) {
	e.bytes(tag, "US", binary.LittleEndian.AppendUint16(nil, value))
}

type countedWriter struct {
	w io.Writer
	n int64
}

func (c *countedWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
