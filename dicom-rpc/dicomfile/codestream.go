package dicomfile

import (
	"bytes"
	"encoding/binary"
)

// codestream is what the head of a compressed frame says about it.
type codestream struct {
	read          bool
	columns, rows uint32
	components    uint16
	precision     uint16 // bits per sample
	signed        bool   // JPEG 2000 only
	hasSigned     bool
}

// lookAtCodestream reads the head of the first fragment.
func (s *scanner) lookAtCodestream(fragment element) error {
	if s.syntax.codec != codecJPEG && s.syntax.codec != codecJ2K {
		return nil
	}
	b, err := s.src.peek(int(min(8+int64(fragment.length), windowSize)))
	if err != nil || len(b) < 8 {
		return err
	}
	if s.syntax.codec == codecJPEG {
		s.img.codestream = jpegHead(b[8:])
	} else {
		s.img.codestream = j2kHead(b[8:])
	}
	return nil
}

// jpegHead finds the frame header (SOF) of JPEG and JPEG-LS.
func jpegHead(b []byte) codestream {
	if len(b) < 4 || b[0] != 0xFF || b[1] != 0xD8 {
		return codestream{}
	}
	for b = b[2:]; len(b) >= 10 && b[0] == 0xFF; {
		marker, size := b[1], int(binary.BigEndian.Uint16(b[2:]))
		switch {
		case marker == 0xFF: // fill byte
			b = b[1:]
			continue
		case marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC, marker == 0xF7:
			return codestream{
				read: true, precision: uint16(b[4]), rows: uint32(binary.BigEndian.Uint16(b[5:])),
				columns: uint32(binary.BigEndian.Uint16(b[7:])), components: uint16(b[9]),
			}
		}
		if size < 2 || 2+size > len(b) {
			break
		}
		b = b[2+size:]
	}
	return codestream{}
}

// j2kHead reads the SIZ segment, which opens each JPEG 2000 codestream; some
// writers put boxes of the JP2 file format before it.
func j2kHead(b []byte) codestream {
	at := bytes.Index(b[:min(len(b), 1024)], []byte{0xFF, 0x4F, 0xFF, 0x51})
	if at < 0 || len(b) < at+43 {
		return codestream{}
	}
	siz := b[at+4:] // from Lsiz on
	u32 := func(i int) uint32 { return binary.BigEndian.Uint32(siz[i:]) }
	return codestream{
		read: true, columns: u32(4) - u32(12), rows: u32(8) - u32(16),
		components: binary.BigEndian.Uint16(siz[36:]),
		precision:  uint16(siz[38]&0x7F) + 1, signed: siz[38]&0x80 != 0, hasSigned: true,
	}
}

// differs names what the frame says otherwise than the data set, "" if nothing.
func (c codestream) differs(m *image) string {
	switch {
	case !c.read:
		return ""
	case c.columns != uint32(m.columns) || c.rows != uint32(m.rows) && c.rows != 0: // JPEG allows 0: told later
		return "the compressed frame has another size than Rows and Columns"
	case c.components != m.samples:
		return "the compressed frame has another number of components than SamplesPerPixel"
	case c.precision > m.allocated:
		return "the compressed frame has more bits than BitsAllocated"
	case c.hasSigned && m.hasSigned && c.signed != (m.signed == 1):
		return "the compressed frame and PixelRepresentation differ about signed values"
	}
	return ""
}
