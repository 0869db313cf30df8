package dicomfile

// meta reads preamble and file meta information (PS3.10 7.1), which is explicit
// little endian whatever the data set is, and leaves the source at the first
// byte after it. The group ends where another group begins; its stated length
// is only compared, for it is missing or wrong in real files.
func (s *scanner) meta() error {
	if err := s.preamble(); err != nil {
		return err
	}
	start, stated := s.src.pos, int64(-1)
	for {
		e, more, err := s.metaElement(start)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		text, err := s.metaValue(e, &stated)
		if err != nil {
			return err
		}
		if err := s.keepMeta(e, text); err != nil {
			return err
		}
		if err := s.skipTo(e.tag, e.end()); err != nil {
			return err
		}
	}
	s.metaEnd = s.src.pos
	if s.metaEnd == start {
		return s.refuse(ReasonMetaInvalid, 0, start, "no file meta information (group 0002) after DICM")
	}
	if stated != s.metaEnd {
		s.find(RuleMetaLength, tagMetaLength, start, "the meta information ends at byte %d", s.metaEnd)
	}
	if err := s.storable(tagMediaClass, s.h.MediaStorageClass); err != nil {
		return err
	}
	return s.settleSyntax(start)
}

func (s *scanner) preamble() error {
	first, err := s.src.peek(PreambleSize)
	if err != nil {
		return err
	}
	if err := CheckPreamble(first); err != nil {
		return err
	}
	if !allZero(first[:128]) {
		s.find(RulePreambleUsed, 0, 0, "the preamble is not empty")
	}
	return s.skipTo(0, PreambleSize)
}

// metaElement reads the next header of group 0002; more is false where another
// group, or the end of the file, follows.
func (s *scanner) metaElement(start int64) (e element, more bool, err error) {
	b, err := s.src.peek(longHeader)
	if err != nil || len(b) == 0 {
		return e, false, err
	}
	if len(b) < 8 {
		return e, false, s.truncated(tagMetaLength, s.src.pos)
	}
	enc := encoding{}
	if tagOf(b, enc.order()).group() != 2 {
		return e, false, nil
	}
	at := s.src.pos
	e, ok := elementHeader(b, enc, at, s.src.end-at)
	if !ok {
		return e, false, s.truncated(e.tag, at)
	}
	if e.vr == 0 || e.vr.form() == formUnknown {
		s.findUnknownVR(e)
	}
	if e.undefined() || e.end()-start > s.lim.MetaBytes {
		return e, false, s.refuse(ReasonMetaInvalid, e.tag, at, "the meta information is longer than %d bytes", s.lim.MetaBytes)
	}
	if e.end() > s.src.end {
		return e, false, s.truncated(e.tag, at)
	}
	return e, true, nil
}

// metaValue gives the text of a short value, and notes the group length.
func (s *scanner) metaValue(e element, stated *int64) (string, error) {
	b, err := s.valueBytes(e)
	if err != nil {
		return "", err
	}
	if e.tag == tagMetaLength && len(b) == 4 {
		*stated = e.end() + int64(encoding{}.order().Uint32(b))
	}
	return trimUID(b), nil
}

func (s *scanner) keepMeta(e element, text string) error {
	into := map[Tag]*string{
		tagMediaClass: &s.h.MediaStorageClass, tagMediaInstance: &s.h.MediaStorageInstance, tagTransferSyntax: &s.h.TransferSyntax,
	}[e.tag]
	if into == nil || text == "" {
		return nil
	}
	if !validUID(text) {
		return s.refuse(ReasonUIDInvalid, e.tag, e.at, notUID)
	}
	if *into != "" && *into != text {
		return s.refuse(ReasonElementDuplicate, e.tag, e.at, "stands twice with different values")
	}
	*into = text
	return nil
}

func (s *scanner) settleSyntax(start int64) error {
	if s.h.TransferSyntax == "" {
		return s.refuse(ReasonTransferSyntaxMissing, tagTransferSyntax, start, "no transfer syntax in the meta information")
	}
	syntax, ok := transferSyntaxes[s.h.TransferSyntax]
	if !ok {
		return s.refuse(ReasonTransferSyntaxUnknown, tagTransferSyntax, start,
			"%s is not a transfer syntax of the standard; convert the file, for example to Explicit VR Little Endian", s.h.TransferSyntax)
	}
	s.syntax = syntax
	if syntax.private {
		s.find(RuleSyntaxPrivate, tagTransferSyntax, start, "%s is a private transfer syntax", s.h.TransferSyntax)
	}
	return nil
}
