package dicomfile

import "bytes"

// PreambleSize is how many bytes CheckPreamble needs: 128 free ones and "DICM".
const PreambleSize = 132

// CheckPreamble looks at the first PreambleSize bytes of a file, so that an
// upload of something else ends at once; give it what there is if the file is
// shorter. The error is a *Refusal with ReasonNotPart10.
func CheckPreamble(first []byte) error {
	if len(first) >= PreambleSize && string(first[128:PreambleSize]) == "DICM" {
		return nil
	}
	return &Refusal{
		Reason: ReasonNotPart10, Offset: int64(min(len(first), 128)),
		Message: "no DICM after a preamble of 128 bytes: " + guessFormat(first),
	}
}

var foreignFormats = []struct{ magic, advice string }{
	{"\x1F\x8B", "this looks like gzip; unpack it and send the file inside"},
	{"PK\x03\x04", "this looks like a zip archive; unpack it and send each file"},
	{"%PDF", "this looks like a PDF; encapsulate it as a DICOM object first"},
	{"\xFF\xD8\xFF", "this looks like a JPEG picture; send the DICOM file it came from"},
	{"\x89PNG", "this looks like a PNG picture; send the DICOM file it came from"},
	{"\x02\x00\x00\x00", "the file begins with its meta information; write it with a preamble"},
	{"\x02\x00\x10\x00", "the file begins with its meta information; write it with a preamble"},
	{"\x08\x00", "this looks like a bare data set; write it as a DICOM Part 10 file with preamble and meta information"},
	{"\x00\x08\x00", "this looks like a bare data set; write it as a DICOM Part 10 file with preamble and meta information"},
}

func guessFormat(first []byte) string {
	if len(first) < PreambleSize {
		return "the file is too short to be a DICOM Part 10 file"
	}
	for _, f := range foreignFormats {
		if bytes.HasPrefix(first, []byte(f.magic)) {
			return f.advice
		}
	}
	return "this is not a DICOM Part 10 file"
}
