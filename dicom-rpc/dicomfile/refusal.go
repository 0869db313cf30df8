package dicomfile

import "fmt"

// Refusal says why a file cannot be stored. It carries no value of the file
// that could belong to a patient.
type Refusal struct {
	Reason  string // one of the Reason constants
	Tag     string // the element where it showed, "(gggg,eeee)", or empty
	Offset  int64  // where in the file, 0..size; for deflated ones see Scan
	Message string // what was wrong, and the way out where there is one
}

func (r *Refusal) Error() string {
	where := fmt.Sprintf("at byte %d", r.Offset)
	if r.Tag != "" {
		where = r.Tag + " " + where
	}
	return fmt.Sprintf("%s: %s (%s)", r.Reason, r.Message, where)
}

// The reasons of a Refusal. They are part of the public contract: never rename
// one, and give a new one its row in Reasons.
const (
	ReasonNotPart10             = "dicom.not_part10"
	ReasonMetaInvalid           = "dicom.meta_invalid"
	ReasonTransferSyntaxMissing = "dicom.transfer_syntax_missing"
	ReasonTransferSyntaxUnknown = "dicom.transfer_syntax_unknown"
	ReasonTruncated             = "dicom.truncated"
	ReasonLengthInvalid         = "dicom.length_invalid"
	ReasonElementInvalid        = "dicom.element_invalid"
	ReasonElementDuplicate      = "dicom.element_duplicate"
	ReasonSequenceInvalid       = "dicom.sequence_invalid"
	ReasonTooDeep               = "dicom.too_deep"
	ReasonTooManyElements       = "dicom.too_many_elements"
	ReasonTooManyFragments      = "dicom.too_many_fragments"
	ReasonUIDMissing            = "dicom.uid_missing"
	ReasonUIDInvalid            = "dicom.uid_invalid"
	ReasonClassNotStored        = "dicom.class_not_stored"
	ReasonDeflateInvalid        = "dicom.deflate_invalid"
	ReasonDeflateBomb           = "dicom.deflate_bomb"
)

// Explained is one stable identifier with one sentence for people, from which
// documentation and error pages are made.
type Explained struct {
	ID   string
	Text string
}

// Reasons explains every reason for which Scan or CheckPreamble refuses a file.
var Reasons = []Explained{
	{ReasonNotPart10, "The file does not begin with the 128-byte preamble and the letters DICM of a DICOM Part 10 file."},
	{ReasonMetaInvalid, "The file meta information (group 0002) cannot be read, or is larger than any real one."},
	{ReasonTransferSyntaxMissing, "The file meta information does not say in which transfer syntax the data set is written (0002,0010)."},
	{ReasonTransferSyntaxUnknown, "The transfer syntax is not one of the DICOM standard, so the data set cannot be checked."},
	{ReasonTruncated, "An element, item or pixel fragment reaches beyond the end of the file: part of the file is missing."},
	{ReasonLengthInvalid, "A length contradicts the item or sequence that holds it, or is undefined where that is not allowed."},
	{ReasonElementInvalid, "Bytes that should be a data element are none."},
	{ReasonElementDuplicate, "An identifying element stands twice in the data set with different values, so nobody can say whose file it is."},
	{ReasonSequenceInvalid, "A sequence or the fragments of compressed pixel data hold something that is neither an item nor a delimiter."},
	{ReasonTooDeep, "Sequences are nested deeper than any real object nests them."},
	{ReasonTooManyElements, "The data set has more elements than a file of its size may have."},
	{ReasonTooManyFragments, "The compressed pixel data has more fragments than the limit allows."},
	{ReasonUIDMissing, "SOP Class, SOP Instance, Study Instance or Series Instance UID is missing or empty."},
	{ReasonUIDInvalid, "A UID is not made of numbers and dots, or is longer than 64 characters."},
	{ReasonClassNotStored, "The file is valid but not an object to store: a DICOMDIR media directory or a service message."},
	{ReasonDeflateInvalid, "The transfer syntax announces a deflated data set, and the bytes cannot be inflated."},
	{ReasonDeflateBomb, "The deflated data set inflates to far more bytes than any real one."},
}
