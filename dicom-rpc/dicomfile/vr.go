package dicomfile

// vr is a value representation: its two letters, the first in the upper byte.
// 0 stands for the unwritten VR of implicit encodings.
type vr uint16

func vrOf(a, b byte) vr { return vr(a)<<8 | vr(b) }

func (v vr) letters() bool {
	a, b := byte(v>>8), byte(v)
	return 'A' <= a && a <= 'Z' && 'A' <= b && b <= 'Z'
}

// printable tells a misspelt VR ("??", "  ", "us") from the binary digits of a
// length.
func (v vr) printable() bool {
	a, b := byte(v>>8), byte(v)
	return ' ' <= a && a <= '~' && ' ' <= b && b <= '~'
}

const (
	vrCS vr = 'C'<<8 | 'S'
	vrOB vr = 'O'<<8 | 'B'
	vrOW vr = 'O'<<8 | 'W'
	vrSQ vr = 'S'<<8 | 'Q'
	vrUI vr = 'U'<<8 | 'I'
	vrUN vr = 'U'<<8 | 'N'
)

type vrForm uint8

const (
	formUnknown vrForm = iota
	formShort          // two bytes of length follow the VR
	formLong           // two reserved bytes, then four bytes of length
)

// form gives the shape of an explicit element header (PS3.5 7.1.2).
func (v vr) form() vrForm {
	switch string([]byte{byte(v >> 8), byte(v)}) {
	case "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US":
		return formShort
	case "OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV":
		return formLong
	}
	return formUnknown
}

// number tells the VRs that hold binary numbers one by one.
func (v vr) number() bool {
	switch string([]byte{byte(v >> 8), byte(v)}) {
	case "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV":
		return true
	}
	return false
}
