package dicomfile

import "fmt"

// Finding is something odd about a file that is stored all the same. It
// carries no value of the file that could belong to a patient.
type Finding struct {
	Rule    string // one of the Rule constants
	Tag     string // the first element concerned, "(gggg,eeee)", or empty
	Offset  int64  // where in the file the first one stands
	Count   int    // how often the rule was met, 1 or more
	Message string // about the first one
}

// The rules of findings; stable identifiers, explained in Rules.
const (
	RuleMetaMismatch       = "dicom.meta_mismatch"
	RuleMetaIncomplete     = "dicom.meta_incomplete"
	RuleMetaLength         = "dicom.meta_length"
	RulePreambleUsed       = "dicom.preamble_used"
	RuleSyntaxPrivate      = "dicom.transfer_syntax_private"
	RuleTrailingBytes      = "dicom.trailing_bytes"
	RuleOddLength          = "dicom.odd_length"
	RuleTagOrder           = "dicom.tag_order"
	RuleTagIllegal         = "dicom.tag_illegal"
	RuleDuplicateElement   = "dicom.duplicate_element"
	RuleVREncoding         = "dicom.vr_encoding"
	RuleVRUnknown          = "dicom.vr_unknown"
	RuleUIDVR              = "dicom.uid_vr"
	RuleCharsetVR          = "dicom.charset_vr"
	RuleCharsetUnknown     = "dicom.charset_unknown"
	RuleSequenceMalformed  = "dicom.sequence_malformed"
	RuleDelimiter          = "dicom.delimiter"
	RuleDelimiterMissing   = "dicom.delimiter_missing"
	RuleNumberEmpty        = "dicom.number_empty"
	RuleDateInvalid        = "dicom.date_invalid"
	RulePatientIDInvalid   = "dicom.patient_id_invalid"
	RulePixelsMissing      = "dicom.pixels_missing"
	RulePixelsUnrenderable = "dicom.pixels_unrenderable"
	RulePixelsMismatch     = "dicom.pixels_mismatch"
)

// Rules explains every rule of a Finding.
var Rules = []Explained{
	{RuleMetaMismatch, "The file meta information names another SOP class or instance than the data set."},
	{RuleMetaIncomplete, "The file meta information lacks the SOP class or instance that it must name."},
	{RuleMetaLength, "The group length of the file meta information is missing or wrong."},
	{RulePreambleUsed, "The 128-byte preamble is not empty: another program may read the same file as another format."},
	{RuleSyntaxPrivate, "The transfer syntax is a vendor's own; it is read as the standard one it is derived from."},
	{RuleTrailingBytes, "Bytes follow after the end of the data set."},
	{RuleOddLength, "An element or pixel fragment has an odd length; the standard pads to even."},
	{RuleTagOrder, "The elements are not in ascending order."},
	{RuleTagIllegal, "An element has a group that no data set may hold."},
	{RuleDuplicateElement, "An element stands twice in the data set."},
	{RuleVREncoding, "Part of the file is written with implicit VR where explicit is announced, or the other way round."},
	{RuleVRUnknown, "An element has a value representation that the standard does not know."},
	{RuleUIDVR, "A UID has another value representation than UI."},
	{RuleCharsetVR, "Specific Character Set has another value representation than CS."},
	{RuleCharsetUnknown, "Specific Character Set names a character set that the standard does not define: names may be shown wrongly."},
	{RuleSequenceMalformed, "A sequence holds something that is no item; it was stepped over by its length."},
	{RuleDelimiter, "A delimiter stands where none belongs, or is not empty."},
	{RuleDelimiterMissing, "The compressed pixel data is complete, but the delimiter that should close it is missing."},
	{RuleNumberEmpty, "A binary number has no value."},
	{RuleDateInvalid, "The study date is not a calendar day."},
	{RulePatientIDInvalid, "The patient id is longer than the 64 characters of the standard, or not printable text."},
	{RulePixelsMissing, "The object is an image by its class or description, but has no pixel data."},
	{RulePixelsUnrenderable, "The image cannot be shown: its description is impossible or does not fit the pixel data."},
	{RulePixelsMismatch, "The compressed image says something else about itself than the data set does."},
}

// find records a finding; a rule met again only counts, so that a hostile file
// cannot make the list long.
func (s *scanner) find(rule string, tag Tag, offset int64, format string, args ...any) {
	for i := range s.h.Findings {
		if s.h.Findings[i].Rule == rule {
			s.h.Findings[i].Count++
			return
		}
	}
	s.h.Findings = append(s.h.Findings, Finding{
		Rule: rule, Tag: tag.text(), Offset: s.src.fileOffset(offset), Count: 1,
		Message: fmt.Sprintf(format, args...),
	})
}

// refuse makes the error that ends a scan.
func (s *scanner) refuse(reason string, tag Tag, offset int64, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Tag: tag.text(), Offset: s.src.fileOffset(offset), Message: fmt.Sprintf(format, args...)}
}
