package dicomfile

import "encoding/binary"

// encoding is how elements are written: byte order, and whether each names its
// VR.
type encoding struct {
	bigEndian bool
	implicit  bool
}

func (e encoding) order() binary.ByteOrder {
	if e.bigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// codec is what the fragments of encapsulated pixel data hold, as far as the
// scan looks into them.
type codec uint8

const (
	codecNone   codec = iota // native: pixel data is not encapsulated
	codecJPEG                // JPEG and JPEG-LS: markers with one SOF
	codecJ2K                 // JPEG 2000 and HTJ2K: a SIZ segment
	codecFrames              // one fragment or more for each frame, not looked into
	codecVideo               // any number of fragments for all frames
	codecRemote              // JPIP: pixels lie elsewhere, behind a URL
)

type transferSyntax struct {
	enc      encoding
	deflated bool
	codec    codec
	private  bool
}

// transferSyntaxes are those of PS3.6 table A-1, retired ones included, and
// the one private syntax that archives are full of.
var transferSyntaxes = map[string]transferSyntax{
	"1.2.840.10008.1.2":      {enc: encoding{implicit: true}},
	"1.2.840.10008.1.2.1":    {},
	"1.2.840.10008.1.2.1.98": {codec: codecFrames}, // encapsulated uncompressed
	"1.2.840.10008.1.2.1.99": {deflated: true},
	"1.2.840.10008.1.2.2":    {enc: encoding{bigEndian: true}},
	"1.2.840.10008.1.20":     {enc: encoding{implicit: true}}, // Papyrus 3, retired
	"1.2.840.113619.5.2":     {enc: encoding{implicit: true}, private: true},

	"1.2.840.10008.1.2.4.94":  {codec: codecRemote},
	"1.2.840.10008.1.2.4.95":  {codec: codecRemote, deflated: true},
	"1.2.840.10008.1.2.4.204": {codec: codecRemote},
	"1.2.840.10008.1.2.4.205": {codec: codecRemote, deflated: true},

	"1.2.840.10008.1.2.4.90":  {codec: codecJ2K},
	"1.2.840.10008.1.2.4.91":  {codec: codecJ2K},
	"1.2.840.10008.1.2.4.92":  {codec: codecJ2K},
	"1.2.840.10008.1.2.4.93":  {codec: codecJ2K},
	"1.2.840.10008.1.2.4.201": {codec: codecJ2K},
	"1.2.840.10008.1.2.4.202": {codec: codecJ2K},
	"1.2.840.10008.1.2.4.203": {codec: codecJ2K},

	"1.2.840.10008.1.2.4.110": {codec: codecFrames}, // JPEG XL
	"1.2.840.10008.1.2.4.111": {codec: codecFrames},
	"1.2.840.10008.1.2.4.112": {codec: codecFrames},
	"1.2.840.10008.1.2.5":     {codec: codecFrames}, // RLE
	"1.2.840.10008.1.2.8.1":   {codec: codecFrames}, // each frame deflated

	"1.2.840.10008.1.2.4.100":   {codec: codecVideo}, // MPEG-2
	"1.2.840.10008.1.2.4.100.1": {codec: codecVideo},
	"1.2.840.10008.1.2.4.101":   {codec: codecVideo},
	"1.2.840.10008.1.2.4.101.1": {codec: codecVideo},
	"1.2.840.10008.1.2.4.102":   {codec: codecVideo}, // MPEG-4 AVC
	"1.2.840.10008.1.2.4.102.1": {codec: codecVideo},
	"1.2.840.10008.1.2.4.103":   {codec: codecVideo},
	"1.2.840.10008.1.2.4.103.1": {codec: codecVideo},
	"1.2.840.10008.1.2.4.104":   {codec: codecVideo},
	"1.2.840.10008.1.2.4.104.1": {codec: codecVideo},
	"1.2.840.10008.1.2.4.105":   {codec: codecVideo},
	"1.2.840.10008.1.2.4.105.1": {codec: codecVideo},
	"1.2.840.10008.1.2.4.106":   {codec: codecVideo},
	"1.2.840.10008.1.2.4.106.1": {codec: codecVideo},
	"1.2.840.10008.1.2.4.107":   {codec: codecVideo}, // HEVC
	"1.2.840.10008.1.2.4.108":   {codec: codecVideo},
	"1.2.840.10008.1.2.7.1":     {codec: codecVideo}, // SMPTE ST 2110
	"1.2.840.10008.1.2.7.2":     {codec: codecVideo},
	"1.2.840.10008.1.2.7.3":     {codec: codecVideo},
}

func init() {
	// JPEG 50 to 66 (most of them retired), lossless 70, JPEG-LS 80 and 81.
	for _, n := range []string{
		"50", "51", "52", "53", "54", "55", "56", "57", "58", "59", "60", "61", "62", "63", "64", "65", "66", "70", "80", "81",
	} {
		transferSyntaxes["1.2.840.10008.1.2.4."+n] = transferSyntax{codec: codecJPEG}
	}
}
