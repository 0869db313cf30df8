package dicomfile

// item handles what stands between the items of a sequence.
func (s *scanner) item(f *frame, e element) error {
	switch e.tag {
	case tagItem:
		return s.enterItem(f, e)
	case tagSequenceEnd:
		if f.undefined {
			s.pop()
		} else {
			s.find(RuleDelimiter, f.tag, e.at, "a sequence of stated length holds a sequence delimiter")
		}
		return s.delimiter(f, e)
	case tagItemDelimiter:
		s.find(RuleDelimiter, f.tag, e.at, "an item delimiter stands between items")
		return s.delimiter(f, e)
	}
	if f.undefined || f.guess {
		return s.refuse(ReasonSequenceInvalid, f.tag, e.at, "neither an item nor a delimiter inside a sequence")
	}
	return s.malformed(f)
}

// malformed steps over the rest of a sequence of stated length.
func (s *scanner) malformed(f *frame) error {
	s.find(RuleSequenceMalformed, f.tag, s.src.pos, "the sequence holds something that is no item")
	tag, limit := f.tag, f.limit
	s.pop()
	return s.skipTo(tag, limit)
}

func (s *scanner) enterItem(f *frame, e element) error {
	if err := s.countElement(e.at); err != nil {
		return err
	}
	inner := frame{kind: item, tag: f.tag, limit: f.limit, bounded: f.bounded, enc: f.enc, undefined: e.undefined()}
	if !e.undefined() {
		if e.end() > f.limit {
			return s.overrun(f, e)
		}
		inner.limit, inner.bounded = e.end(), true
	}
	if e.length%2 == 1 && !e.undefined() {
		s.find(RuleOddLength, f.tag, e.at, "an item has the odd length %d", e.length)
	}
	s.push(inner)
	return s.skipTo(f.tag, e.value())
}

// delimiter steps over a delimiter, whose length means nothing.
func (s *scanner) delimiter(f *frame, e element) error {
	if e.length != 0 {
		s.find(RuleDelimiter, f.tag, e.at, "a delimiter has the length %d instead of 0", e.length)
	}
	return s.skipTo(e.tag, e.value())
}

// element handles the next element of a data set or item; b is its header.
func (s *scanner) element(f *frame, b []byte) error {
	if !f.started {
		s.settleEncoding(f, b)
		f.started = true
	}
	e, ok := elementHeader(b, f.enc, s.src.pos, f.limit-s.src.pos)
	if f.kind == dataSet && s.endsHere(f, e, b) {
		s.endDataSet()
		return nil
	}
	if !ok {
		return s.overrun(f, e)
	}
	if e.tag.group() == 0xFFFE {
		return s.delimiterInItem(f, e)
	}
	if err := s.countElement(e.at); err != nil {
		return err
	}
	s.checkOrder(f, e)
	if e.vr.form() == formUnknown && !f.enc.implicit {
		s.findUnknownVR(e)
	}
	if e.undefined() {
		return s.enterUndefined(f, e)
	}
	if e.end() > f.limit {
		return s.overrun(f, e)
	}
	if e.length%2 == 1 {
		s.find(RuleOddLength, e.tag, e.at, "odd length %d", e.length)
	}
	return s.value(f, e)
}

// settleEncoding decides by the first element of a data set or item whether it
// is written with explicit VR. Writers get that wrong, most of all in private
// sequences and after transcoding; dcmtk and pydicom look as well. Two letters
// that are a VR cannot be the length of a first element in implicit encoding:
// it would be an odd 16 KiB and more.
func (s *scanner) settleEncoding(f *frame, b []byte) {
	if tagOf(b, f.enc.order()).group() == 0xFFFE {
		return
	}
	v := vrOf(b[4], b[5])
	implicit := f.enc.implicit
	switch {
	case implicit && v.form() != formUnknown:
		implicit = false
	case !implicit && v.form() == formUnknown && !v.letters():
		n := int64(f.enc.order().Uint32(b[4:]))
		implicit = n == lengthUndefined || n <= f.limit-s.src.pos-8
	}
	if implicit != f.enc.implicit {
		f.enc.implicit = implicit
		s.find(RuleVREncoding, tagOf(b, f.enc.order()), s.src.pos, "from here on implicit VR is %t, against the transfer syntax", implicit)
	}
}

// endsHere tells whether the data set ended before e: zeros are no element, and
// after the pixel data only few may follow.
func (s *scanner) endsHere(f *frame, e element, b []byte) bool {
	if allZero(b[:8]) {
		return true
	}
	if !s.img.present {
		return false
	}
	inOrder := e.tag > f.last && e.tag.afterPixels()
	if f.enc.implicit { // no VR vouches for e: high private groups must fit
		high := e.tag.group() > 0x7FFF && e.tag.group() < 0xFFFA
		return !inOrder || high && !e.undefined() && e.end() > f.limit
	}
	if e.vr.form() == formUnknown {
		return true
	}
	return !inOrder && (e.tag.group() == 0xFFFE || e.undefined() || e.end() > f.limit)
}

// delimiterInItem handles group FFFE where an element could stand.
func (s *scanner) delimiterInItem(f *frame, e element) error {
	switch {
	case e.tag == tagItemDelimiter && f.kind == item && f.undefined:
		s.pop()
		return s.delimiter(f, e)
	case (e.tag == tagItem || e.tag == tagSequenceEnd) && f.kind == item && f.undefined:
		s.find(RuleDelimiter, f.tag, e.at, "an item is not closed by its delimiter")
		s.pop() // the sequence reads e again
		return nil
	case (e.tag == tagItemDelimiter || e.tag == tagSequenceEnd) && e.length == 0:
		s.find(RuleDelimiter, f.tag, e.at, "a delimiter stands where nothing is to be closed")
		if err := s.countElement(e.at); err != nil {
			return err
		}
		return s.delimiter(f, e)
	}
	return s.refuse(ReasonElementInvalid, e.tag, e.at, "an item or delimiter stands in place of an element")
}

func (s *scanner) checkOrder(f *frame, e element) {
	switch {
	case e.tag == f.last:
		s.find(RuleDuplicateElement, e.tag, e.at, "the element stands twice")
	case e.tag < f.last:
		s.find(RuleTagOrder, e.tag, e.at, "follows %s", f.last)
	}
	f.last = e.tag
	if g := e.tag.group(); g < 8 && g != 4 && g != 6 || g == 0xFFFF {
		s.find(RuleTagIllegal, e.tag, e.at, "no data set may hold group %04X", g)
	}
}

func (s *scanner) findUnknownVR(e element) {
	if e.vr == 0 {
		s.find(RuleVREncoding, e.tag, e.at, "the element is written without VR")
		return
	}
	s.find(RuleVRUnknown, e.tag, e.at, "VR %q, read with a length field of %d bytes", string([]byte{byte(e.vr >> 8), byte(e.vr)}), e.header-6)
}

// enterUndefined opens what only a delimiter ends: compressed pixels, a
// sequence, or UN, which hides a sequence in implicit little endian (PS3.5
// 6.2.2 note 5).
func (s *scanner) enterUndefined(f *frame, e element) error {
	inner := frame{kind: sequence, tag: e.tag, limit: f.limit, bounded: f.bounded, enc: f.enc, undefined: true}
	switch {
	case e.tag == tagPixels && e.vr != vrSQ, e.vr == vrOB, e.vr == vrOW:
		return s.fragmentsOf(f, e)
	case e.vr == vrUN, e.vr != 0 && e.vr.form() == formUnknown:
		inner.enc = encoding{implicit: true}
	case e.vr != 0 && e.vr != vrSQ:
		return s.refuse(ReasonLengthInvalid, e.tag, e.at, "only sequences and compressed pixels may have an undefined length")
	}
	return s.enter(inner, e)
}

func (s *scanner) enter(inner frame, e element) error {
	if s.depth >= s.lim.Depth {
		return s.refuse(ReasonTooDeep, e.tag, e.at, "sequences nested more than %d deep", s.lim.Depth)
	}
	s.push(inner)
	return s.skipTo(e.tag, e.value())
}

// value handles an element of stated length that fits: a sequence is entered,
// anything else stepped over, and the few values of interest are kept.
func (s *scanner) value(f *frame, e element) error {
	inner := frame{kind: sequence, tag: e.tag, limit: e.end(), bounded: true, enc: f.enc}
	if e.vr == vrUN {
		inner.enc = encoding{implicit: true}
	}
	known := e.vr == vrSQ || ((e.vr == 0 || e.vr == vrUN) && e.tag.isSequence())
	if !known && (e.vr == 0 || e.vr == vrUN) && e.tag != tagPixels {
		looks, err := s.looksLikeItems(e, inner.enc)
		if err != nil {
			return err
		}
		known, inner.guess = looks, looks
	}
	if known && e.length > 0 {
		return s.enter(inner, e)
	}
	if f.kind == dataSet {
		if err := s.keep(f, e); err != nil {
			return err
		}
	}
	return s.skipTo(e.tag, e.end())
}

// looksLikeItems tells whether a value of unknown kind begins with an item that
// fits. Decoders with a private dictionary will descend into it, so the walk
// does as well.
func (s *scanner) looksLikeItems(e element, enc encoding) (bool, error) {
	if e.length < 8 {
		return false, nil
	}
	b, err := s.src.peek(int(e.header) + 8)
	if err != nil || len(b) < int(e.header)+8 {
		return false, err
	}
	first := itemHeader(b[e.header:], enc, e.value())
	return first.tag == tagItem && (first.undefined() || first.end() <= e.end()), nil
}
