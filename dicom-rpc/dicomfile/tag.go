package dicomfile

import "fmt"

// Tag is group and element of a data element, group in the upper 16 bits.
type Tag uint32

// Elements that the scan looks at.
const (
	tagMetaLength     Tag = 0x00020000
	tagMediaClass     Tag = 0x00020002
	tagMediaInstance  Tag = 0x00020003
	tagTransferSyntax Tag = 0x00020010
	tagCharset        Tag = 0x00080005
	tagSOPClass       Tag = 0x00080016
	tagSOPInstance    Tag = 0x00080018
	tagStudyDate      Tag = 0x00080020
	tagModality       Tag = 0x00080060
	tagPatientID      Tag = 0x00100020
	tagStudyInstance  Tag = 0x0020000D
	tagSeriesInstance Tag = 0x0020000E
	tagSamples        Tag = 0x00280002
	tagPhotometric    Tag = 0x00280004
	tagFrames         Tag = 0x00280008
	tagRows           Tag = 0x00280010
	tagColumns        Tag = 0x00280011
	tagBitsAllocated  Tag = 0x00280100
	tagBitsStored     Tag = 0x00280101
	tagHighBit        Tag = 0x00280102
	tagPixelRep       Tag = 0x00280103
	tagPixelProvider  Tag = 0x00287FE0
	tagFloatPixels    Tag = 0x7FE00008
	tagDoublePixels   Tag = 0x7FE00009
	tagPixels         Tag = 0x7FE00010
	tagItem           Tag = 0xFFFEE000
	tagItemDelimiter  Tag = 0xFFFEE00D
	tagSequenceEnd    Tag = 0xFFFEE0DD
)

func (t Tag) group() uint16 { return uint16(t >> 16) }

// String is the usual notation, "(0008,0018)".
func (t Tag) String() string { return fmt.Sprintf("(%04X,%04X)", t.group(), uint16(t)) }

// text is String, and empty for the tag that stands for no tag.
func (t Tag) text() string {
	if t == 0 {
		return ""
	}
	return t.String()
}

// afterPixels tells whether standard or private data may follow PixelData under this
// tag: PS3.5 orders tags, and above 7FE0 the standard has only digital
// signatures and padding, vendors their odd groups.
func (t Tag) afterPixels() bool {
	g := t.group()
	return g == 0x7FE0 || g == 0xFFFA || g == 0xFFFC || (g > 0x7FE0 && g%2 == 1 && g != 0xFFFF)
}
