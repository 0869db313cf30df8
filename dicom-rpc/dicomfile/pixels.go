package dicomfile

import (
	"math/bits"
	"strconv"
	"strings"
)

// image is what the data set says about its pixels.
type image struct {
	present      bool // pixel data was met
	encapsulated bool
	tag          Tag
	length       uint32 // of native pixel data, bytes
	at           int64
	fragments    int // without the offset table
	remote       bool

	samples, rows, columns           uint16
	allocated, stored, highBit       uint16
	signed                           uint16 // PixelRepresentation: 1 is signed
	hasStored, hasHighBit, hasSigned bool
	photometric                      string
	framesText                       string
	framesAt                         int64

	// of the first compressed frame, if its head could be read
	codestream codestream
}

// found notes the pixel data; the first one counts.
func (m *image) found(e element, encapsulated bool) {
	if !m.present {
		m.present, m.encapsulated, m.tag, m.length, m.at = true, encapsulated, e.tag, e.length, e.at
	}
}

func (m *image) number(tag Tag, v uint16) {
	switch tag {
	case tagSamples:
		m.samples = v
	case tagRows:
		m.rows = v
	case tagColumns:
		m.columns = v
	case tagBitsAllocated:
		m.allocated = v
	case tagBitsStored:
		m.stored, m.hasStored = v, true
	case tagHighBit:
		m.highBit, m.hasHighBit = v, true
	case tagPixelRep:
		m.signed, m.hasSigned = v, true
	}
}

// frames is NumberOfFrames: 1 when absent, ok when a positive number.
func (m *image) frames() (n int64, ok bool) {
	if m.framesText == "" {
		return 1, true
	}
	n, err := strconv.ParseInt(strings.TrimSpace(m.framesText), 10, 32)
	return n, err == nil && n > 0
}

// judgeImage fills the image part of the header and flags images that a viewer
// cannot show. They are stored: only pixels are concerned.
func (s *scanner) judgeImage() {
	m := &s.img
	s.h.Rows, s.h.Columns, s.h.BitsAllocated = int(m.rows), int(m.columns), int(m.allocated)
	frames, ok := m.frames()
	if !ok {
		s.find(RulePixelsUnrenderable, tagFrames, m.framesAt, "NumberOfFrames is not a positive number")
	} else if m.present || m.rows > 0 {
		s.h.NumberOfFrames = int(frames)
	}
	if !m.present {
		if !m.remote && (imageClass(s.h.SOPClassUID) || m.rows > 0 && m.columns > 0) {
			s.find(RulePixelsMissing, tagPixels, s.h.DataSetEnd, "an image without pixel data; was the file cut?")
		}
		return
	}
	if why := m.impossible(); why != "" {
		s.find(RulePixelsUnrenderable, m.tag, m.at, "%s", why)
		return
	}
	if ok {
		s.judgeAmount(uint64(frames))
	}
	if why := m.codestream.differs(m); why != "" {
		s.find(RulePixelsMismatch, m.tag, m.at, "%s", why)
	}
}

// imageClasses are the branches of the storage classes (below
// 1.2.840.10008.5.1.4.1.1) whose objects are images. A file of such a class
// without pixels may have been cut between two elements.
var imageClasses = map[string]bool{
	"1": true, "2": true, "3": true, "4": true, "6": true, "7": true, "12": true, "13": true, "14": true, "20": true, "30": true,
	"77": true, "128": true, "130": true, "481.1": true, "481.2": true,
}

func imageClass(uid string) bool {
	branch, ok := strings.CutPrefix(uid, "1.2.840.10008.5.1.4.1.1.")
	if !ok || branch == "4.2" || branch == "77.1.5.3" { // spectra; the relation of two photographs
		return false
	}
	main, _, _ := strings.Cut(branch, ".")
	return imageClasses[main] || imageClasses[branch]
}

// photometrics are the defined terms of (0028,0004), retired ones included, and
// the samples of a pixel that each has.
var photometrics = map[string]uint16{
	"MONOCHROME1": 1, "MONOCHROME2": 1, "PALETTE COLOR": 1,
	"RGB": 3, "HSV": 3, "XYB": 3, "YBR_FULL": 3, "YBR_FULL_422": 3, "YBR_PARTIAL_422": 3, "YBR_PARTIAL_420": 3, "YBR_ICT": 3, "YBR_RCT": 3,
	"ARGB": 4, "CMYK": 4,
}

// impossible names what makes the description of the pixels unusable.
func (m *image) impossible() string {
	switch {
	case m.rows == 0 || m.columns == 0:
		return "Rows or Columns is missing or 0"
	case m.samples != 1 && m.samples != 3 && m.samples != 4:
		return "SamplesPerPixel is not 1, 3 or 4"
	case m.tag == tagPixels && photometrics[m.photometric] != m.samples:
		return "PhotometricInterpretation is missing, unknown or does not go with SamplesPerPixel"
	case m.hasSigned && m.signed > 1:
		return "PixelRepresentation is neither 0 nor 1"
	}
	switch m.allocated {
	case 1, 8, 16, 32, 64:
	default:
		return "BitsAllocated is not 1, 8, 16, 32 or 64"
	}
	if m.hasStored && (m.stored == 0 || m.stored > m.allocated) {
		return "BitsStored is 0 or more than BitsAllocated"
	}
	if m.hasHighBit && m.highBit >= m.allocated {
		return "HighBit lies outside BitsAllocated"
	}
	return ""
}

// judgeAmount compares the pixel data with what the description asks for.
func (s *scanner) judgeAmount(frames uint64) {
	m := &s.img
	native := s.syntax.codec == codecNone || s.syntax.codec == codecRemote
	switch {
	case m.encapsulated == native:
		s.find(RulePixelsUnrenderable, m.tag, m.at, "pixel data and transfer syntax disagree about compression")
	case m.encapsulated && m.fragments == 0:
		s.find(RulePixelsUnrenderable, m.tag, m.at, "no pixel fragments")
	case m.encapsulated && s.syntax.codec != codecVideo && uint64(m.fragments) < frames:
		s.find(RulePixelsUnrenderable, m.tag, m.at, "%d fragments cannot hold %d frames", m.fragments, frames)
	case !m.encapsulated:
		need, ok := m.nativeBytes(frames)
		if !ok || need > uint64(m.length) {
			s.find(RulePixelsUnrenderable, m.tag, m.at, "%d bytes of pixel data are fewer than %d frames need", m.length, frames)
		} else if uint64(m.length) > need+1 {
			s.find(RulePixelsMismatch, m.tag, m.at, "%d bytes of pixel data where %d are needed", m.length, need)
		}
	}
}

// nativeBytes is the size of uncompressed pixels; ok is false on overflow.
func (m *image) nativeBytes(frames uint64) (n uint64, ok bool) {
	samples := uint64(m.samples) * 2 // in halves, for subsampled colour
	switch m.photometric {
	case "YBR_FULL_422", "YBR_PARTIAL_422":
		samples = 4
	case "YBR_PARTIAL_420":
		samples = 3
	}
	perFrame := uint64(m.rows) * uint64(m.columns) * samples // < 2^49
	hi, lo := bits.Mul64(perFrame, frames)
	if hi != 0 {
		return 0, false
	}
	hi, lo = bits.Mul64(lo, uint64(m.allocated))
	if hi != 0 || lo > 1<<63 {
		return 0, false
	}
	return (lo + 15) / 16, true
}
