package dicomfile

import (
	"bytes"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// keptBytes is how much of a value is looked at; what is kept is shorter.
const keptBytes = 512

var uidForm = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)

const notUID = "not a UID; the sender must write 1 to 64 characters, numbers with dots between"

func validUID(s string) bool { return len(s) >= 1 && len(s) <= 64 && uidForm.MatchString(s) }

// trimUID takes off the padding of a UID: NUL by the standard, spaces by habit.
func trimUID(b []byte) string { return string(bytes.TrimRight(b, "\x00 ")) }

// seenTags remembers which kept elements were met and where.
type seenTags map[Tag]bool

// valueBytes gives the first keptBytes of a value, without moving.
func (s *scanner) valueBytes(e element) ([]byte, error) {
	n := int(e.header) + int(min(e.length, keptBytes))
	b, err := s.src.peek(n)
	if err != nil {
		return nil, err
	}
	if len(b) < n {
		return nil, s.truncated(e.tag, e.at)
	}
	return b[e.header:], nil
}

// keep looks at the elements of the data set itself (not of its items) that
// the header and the image description are made of.
func (s *scanner) keep(f *frame, e element) error {
	if e.vr.number() && e.length == 0 {
		s.find(RuleNumberEmpty, e.tag, e.at, "a binary number without value")
	}
	switch e.tag {
	case tagSOPClass:
		return s.keepUID(e, &s.h.SOPClassUID)
	case tagSOPInstance:
		return s.keepUID(e, &s.h.SOPInstanceUID)
	case tagStudyInstance:
		return s.keepUID(e, &s.h.StudyInstanceUID)
	case tagSeriesInstance:
		return s.keepUID(e, &s.h.SeriesInstanceUID)
	case tagPatientID:
		return s.keepPatientID(e)
	case tagStudyDate:
		return s.keepStudyDate(e)
	case tagModality, tagCharset, tagPhotometric, tagFrames:
		return s.keepText(e)
	case tagSamples, tagRows, tagColumns, tagBitsAllocated, tagBitsStored, tagHighBit, tagPixelRep:
		return s.keepNumber(f, e)
	case tagPixelProvider:
		s.img.remote = true
	case tagPixels, tagFloatPixels, tagDoublePixels:
		s.img.found(e, false)
	}
	return nil
}

// first tells whether e is met for the first time; a repetition is a finding,
// and of an element that identifies the file a refusal by its caller.
func (s *scanner) first(e element) bool {
	if s.seen == nil {
		s.seen = seenTags{}
	}
	if s.seen[e.tag] {
		s.find(RuleDuplicateElement, e.tag, e.at, "the element stands twice")
		return false
	}
	s.seen[e.tag] = true
	return true
}

func (s *scanner) keepUID(e element, into *string) error {
	if e.vr != 0 && e.vr != vrUI {
		s.find(RuleUIDVR, e.tag, e.at, "a UID under another VR than UI")
	}
	b, err := s.valueBytes(e)
	if err != nil {
		return err
	}
	uid := trimUID(b)
	if !s.first(e) {
		return s.sameAs(e, uid, *into)
	}
	if uid != "" && (e.length > keptBytes || !validUID(uid)) {
		return s.refuse(ReasonUIDInvalid, e.tag, e.at, notUID)
	}
	*into = uid
	return nil
}

func (s *scanner) sameAs(e element, again, before string) error {
	if again != before {
		return s.refuse(ReasonElementDuplicate, e.tag, e.at, "stands twice with different values")
	}
	return nil
}

func (s *scanner) keepPatientID(e element) error {
	b, err := s.valueBytes(e)
	if err != nil {
		return err
	}
	id := trimText(b)
	bad := utf8.RuneCountInString(id) > 64 || strings.ContainsFunc(id, unicode.IsControl)
	if e.length > keptBytes || bad {
		s.find(RulePatientIDInvalid, e.tag, e.at, "%d bytes long, or not printable", e.length)
		id = ""
	}
	if !s.first(e) {
		return s.sameAs(e, id, s.h.PatientID)
	}
	s.h.PatientID = id
	return nil
}

func (s *scanner) keepStudyDate(e element) error {
	b, err := s.valueBytes(e)
	if err != nil || !s.first(e) {
		return err
	}
	text := trimText(b)
	for _, layout := range []string{"20060102", "2006.01.02"} { // the second is of ACR-NEMA, retired
		if day, err := time.Parse(layout, text); err == nil {
			s.h.StudyDate, s.h.StudyDay, s.h.StudyDateOK = text, day, true
			return nil
		}
	}
	if text != "" {
		s.find(RuleDateInvalid, e.tag, e.at, "the study date is not YYYYMMDD")
		s.h.StudyDate = strings.ToValidUTF8(text[:min(len(text), 16)], "")
	}
	return nil
}

func (s *scanner) keepText(e element) error {
	b, err := s.valueBytes(e)
	if err != nil || !s.first(e) {
		return err
	}
	text := trimText(b)
	switch e.tag {
	case tagModality:
		s.h.Modality = strings.ToValidUTF8(text[:min(len(text), 16)], "")
	case tagCharset:
		s.checkCharset(e, text)
	case tagPhotometric:
		s.img.photometric = text
	case tagFrames:
		s.img.framesText, s.img.framesAt = text, e.at
	}
	return nil
}

func (s *scanner) keepNumber(f *frame, e element) error {
	b, err := s.valueBytes(e)
	if err != nil || !s.first(e) || len(b) < 2 {
		return err
	}
	enc := f.enc
	if e.vr == vrUN {
		enc.bigEndian = false
	}
	s.img.number(e.tag, enc.order().Uint16(b))
	return nil
}

// trimText takes off padding and replaces what is not UTF-8, so that the text
// may travel in messages; identifiers that are compared are ASCII.
func trimText(b []byte) string {
	return strings.ToValidUTF8(strings.Trim(string(b), "\x00 "), "\uFFFD")
}

// charsets are the defined terms of (0008,0005), PS3.3 C.12.1.1.2.
var charsets = map[string]bool{"": true, "ISO_IR 192": true, "GB18030": true, "GBK": true}

func init() {
	for _, n := range []string{"6", "13", "87", "100", "101", "109", "110", "126", "127", "138", "144", "148", "149", "58", "159", "166", "203"} {
		charsets["ISO_IR "+n] = true
		charsets["ISO 2022 IR "+n] = true
	}
}

func (s *scanner) checkCharset(e element, text string) {
	if e.vr != 0 && e.vr != vrCS {
		s.find(RuleCharsetVR, e.tag, e.at, "Specific Character Set under another VR than CS")
		return
	}
	for term := range strings.SplitSeq(text, `\`) {
		if !charsets[strings.TrimSpace(term)] {
			s.find(RuleCharsetUnknown, e.tag, e.at, "not a defined term of the standard")
			return
		}
	}
}
