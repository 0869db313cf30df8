package dicomfile

import "strings"

// notStored are SOP classes of files and messages that are no composite
// objects.
var notStored = map[string]string{
	"1.2.840.10008.1.3.10": "a DICOMDIR lists other files; send those",
	"1.2.840.10008.1.1":    "a verification message holds no object",
}

// identity checks what the file must say about itself, once all of it is read.
func (s *scanner) identity() error {
	if err := s.storable(tagSOPClass, s.h.SOPClassUID); err != nil {
		return err
	}
	if err := s.requireUIDs(); err != nil {
		return err
	}
	s.compareMeta(tagMediaClass, s.h.MediaStorageClass, s.h.SOPClassUID)
	s.compareMeta(tagMediaInstance, s.h.MediaStorageInstance, s.h.SOPInstanceUID)
	return nil
}

// storable refuses the classes of notStored; meta asks it too, so that their
// files are not judged by rules made for objects.
func (s *scanner) storable(tag Tag, class string) error {
	if advice, ok := notStored[class]; ok {
		return s.refuse(ReasonClassNotStored, tag, s.src.pos, "%s", advice)
	}
	return nil
}

func (s *scanner) requireUIDs() error {
	required := []struct {
		tag   Tag
		name  string
		value string
	}{
		{tagSOPClass, "SOPClassUID", s.h.SOPClassUID},
		{tagSOPInstance, "SOPInstanceUID", s.h.SOPInstanceUID},
		{tagStudyInstance, "StudyInstanceUID", s.h.StudyInstanceUID},
		{tagSeriesInstance, "SeriesInstanceUID", s.h.SeriesInstanceUID},
	}
	var missing []string
	var first Tag
	for _, r := range required {
		if r.value == "" {
			missing = append(missing, r.name+" "+r.tag.String())
			if first == 0 {
				first = r.tag
			}
		}
	}
	if first == 0 {
		return nil
	}
	return s.refuse(ReasonUIDMissing, first, s.src.pos, "the data set ends without %s", strings.Join(missing, ", "))
}

func (s *scanner) compareMeta(tag Tag, meta, data string) {
	switch meta {
	case data:
	case "":
		s.find(RuleMetaIncomplete, tag, 0, "missing in the meta information")
	default:
		s.find(RuleMetaMismatch, tag, 0, "the meta information and the data set differ")
	}
}
