package dicomfile

import "encoding/binary"

// lengthUndefined stands in the length field of what a delimiter ends.
const lengthUndefined = 0xFFFFFFFF

// longHeader is the largest header of a data element, in bytes.
const longHeader = 12

// element is the header of one data element, item or delimiter.
type element struct {
	tag    Tag
	vr     vr // 0 in implicit encodings
	length uint32
	header int64 // bytes before the value
	at     int64 // position of the header
}

func (e element) undefined() bool { return e.length == lengthUndefined }
func (e element) value() int64    { return e.at + e.header }
func (e element) end() int64      { return e.at + e.header + int64(e.length) }

func tagOf(b []byte, o binary.ByteOrder) Tag {
	return Tag(o.Uint16(b))<<16 | Tag(o.Uint16(b[2:]))
}

// itemHeader reads the eight bytes of an item or delimiter: never a VR.
func itemHeader(b []byte, enc encoding, at int64) element {
	o := enc.order()
	return element{tag: tagOf(b, o), length: o.Uint32(b[4:]), header: 8, at: at}
}

// elementHeader reads a header from b, which has eight bytes or more. ok is
// false when it needs twelve and b has fewer. room is how many bytes are left
// from at on in what holds the element; it settles how to read unknown VRs.
func elementHeader(b []byte, enc encoding, at, room int64) (e element, ok bool) {
	if enc.implicit || tagOf(b, enc.order()).group() == 0xFFFE {
		return itemHeader(b, enc, at), true
	}
	o := enc.order()
	e = element{tag: tagOf(b, o), vr: vrOf(b[4], b[5]), at: at}
	switch e.vr.form() {
	case formShort:
		e.header, e.length = 8, uint32(o.Uint16(b[6:]))
	case formLong:
		if len(b) < longHeader {
			return e, false
		}
		e.header, e.length = longHeader, o.Uint32(b[8:])
	default:
		e.readUnknownVR(b, enc, room)
	}
	return e, true
}

// readUnknownVR guesses the header of an element whose VR is not in the
// standard. Two capitals are a VR of a later edition, which the standard
// promises to write in the long form (PS3.5 6.2); if that cannot be, and for
// other printable letters, the short form. Anything else is the length of an
// element written without VR.
func (e *element) readUnknownVR(b []byte, enc encoding, room int64) {
	o := enc.order()
	if e.vr.letters() && len(b) >= longHeader && b[6] == 0 && b[7] == 0 {
		if n := o.Uint32(b[8:]); n == lengthUndefined || int64(n) <= room-longHeader {
			e.header, e.length = longHeader, n
			return
		}
	}
	e.header = 8
	if n := o.Uint32(b[4:]); !e.vr.printable() && int64(n) <= room-8 {
		e.vr, e.length = 0, n
		return
	}
	e.length = uint32(o.Uint16(b[6:]))
}
