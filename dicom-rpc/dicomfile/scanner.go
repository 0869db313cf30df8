package dicomfile

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// scanner is one scan under way.
type scanner struct {
	ctx  context.Context
	lim  Limits
	src  *source
	size int64 // of the file
	h    Header

	syntax    transferSyntax
	metaEnd   int64
	stack     []frame
	depth     int // sequences on the stack
	steps     int
	elements  int
	fragments int
	seen      seenTags
	img       image
}

type frameKind uint8

const (
	dataSet frameKind = iota
	sequence
	item
)

// frame is a container that the walk is inside of.
type frame struct {
	kind      frameKind
	tag       Tag   // of the sequence; for an item that of its sequence
	limit     int64 // first position that its content may not reach
	undefined bool  // ends with a delimiter rather than at limit
	bounded   bool  // limit comes from a length in the file, not from its end
	guess     bool  // a sequence entered because its bytes look like one
	enc       encoding
	started   bool // an element was read in it
	last      Tag  // the element before
}

func (s *scanner) scan() error {
	if err := s.meta(); err != nil {
		return s.explain(err)
	}
	if s.syntax.deflated {
		if err := s.inflate(); err != nil {
			return s.explain(err)
		}
	}
	s.stack = make([]frame, 0, 16)
	s.push(frame{kind: dataSet, limit: s.src.end, enc: s.syntax.enc})
	for len(s.stack) > 0 {
		if err := s.step(); err != nil && !s.leaveGuess(err) {
			return s.explain(err)
		}
	}
	if err := s.afterDataSet(); err != nil {
		return s.explain(err)
	}
	if err := s.identity(); err != nil {
		return err
	}
	s.judgeImage()
	return nil
}

// inflate goes over from the file to the data set inflated from it.
func (s *scanner) inflate() error {
	f, err := newInflater(s.src.file, s.metaEnd, s.src.end, s.lim)
	if err != nil {
		return err
	}
	file := s.src
	s.src = &source{file: file.file, stream: f, end: endUnknown}
	if f.zlib {
		s.find(RuleVREncoding, 0, 0, "the deflated data set wears a zlib header; the standard stores raw deflate")
	}
	return nil
}

// explain turns what the inflater reports into refusals; other errors pass.
func (s *scanner) explain(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, errBomb):
		return s.refuse(ReasonDeflateBomb, 0, s.src.pos, "the data set inflates to more than %d bytes, more than any real one of its size",
			s.src.stream.limit)
	case errors.As(err, &corrupt):
		return s.refuse(ReasonDeflateInvalid, 0, s.src.pos, "the data set cannot be inflated; is the transfer syntax right?")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return s.refuse(ReasonTruncated, 0, s.src.pos, "the deflated data set is cut off; send the whole file")
	}
	return err
}

// tick counts one element, item or fragment, and looks up now and then.
func (s *scanner) tick() error {
	if s.steps++; s.steps%256 == 0 && s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return nil
}

func (s *scanner) countElement(at int64) error {
	s.elements++
	limit := s.lim.Elements + int(s.size>>12)
	if s.elements > limit {
		return s.refuse(ReasonTooManyElements, s.top().tag, at, "more than %d elements", limit)
	}
	return s.tick()
}

func (s *scanner) top() *frame { return &s.stack[len(s.stack)-1] }

func (s *scanner) push(f frame) {
	s.stack = append(s.stack, f)
	if f.kind == sequence {
		s.depth++
	}
}

func (s *scanner) pop() {
	if s.top().kind == sequence {
		s.depth--
	}
	s.stack = s.stack[:len(s.stack)-1]
}

// step reads one header and goes past it, into it or out of its container.
func (s *scanner) step() error {
	f := s.top()
	room := f.limit - s.src.pos
	b, err := s.src.peek(int(min(longHeader, room)))
	if err != nil {
		return err
	}
	if len(b) < 8 {
		return s.atEnd(f, b)
	}
	if f.kind == sequence {
		return s.item(f, itemHeader(b, f.enc, s.src.pos))
	}
	return s.element(f, b)
}

// atEnd leaves a container whose bytes are used up, but for the rest b of fewer
// than eight.
func (s *scanner) atEnd(f *frame, b []byte) error {
	switch {
	case len(b) == 0 && f.kind == dataSet:
		s.endDataSet()
		return nil
	case len(b) == 0 && !f.undefined && s.src.pos == f.limit:
		s.pop()
		return nil
	case f.kind == dataSet && (s.img.present || allZero(b)):
		s.endDataSet()
		return nil
	case f.kind == sequence && !f.undefined && !f.guess && f.limit <= s.src.end:
		return s.malformed(f)
	case f.bounded && f.limit <= s.src.end:
		return s.refuse(ReasonLengthInvalid, f.tag, s.src.pos, "the content of a sequence or item does not end where its length says")
	}
	return s.truncated(f.tag, s.src.pos)
}

func (s *scanner) truncated(tag Tag, at int64) error {
	return s.refuse(ReasonTruncated, tag, at, "the file ends inside this element; send the whole file")
}

// overrun refuses a value that does not fit into its container.
func (s *scanner) overrun(f *frame, e element) error {
	if !f.bounded {
		return s.truncated(e.tag, e.at)
	}
	return s.refuse(ReasonLengthInvalid, e.tag, e.at, "a length of %d bytes reaches beyond the sequence or item that holds it", e.length)
}

// skipTo moves on to position end, which callers have compared with the limit.
func (s *scanner) skipTo(tag Tag, end int64) error {
	whole, err := s.src.skip(s.ctx, end-s.src.pos)
	if err == nil && !whole {
		err = s.truncated(tag, s.src.pos)
	}
	return err
}

// endDataSet stops the walk here; what follows is looked at by afterDataSet.
func (s *scanner) endDataSet() {
	s.stack = s.stack[:0]
	s.h.DataSetEnd = s.src.fileOffset(s.src.pos)
}

// afterDataSet flags bytes that follow. A deflated stream is read to its end
// first: only then it is known to be whole.
func (s *scanner) afterDataSet() error {
	at := s.src.pos
	if s.src.stream == nil {
		if rest := s.src.end - at; rest > 0 {
			s.find(RuleTrailingBytes, 0, at, "%d bytes follow the data set", rest)
		}
		return nil
	}
	if whole, err := s.src.skip(s.ctx, endUnknown-at); err != nil {
		return err
	} else if !whole && s.src.pos > at {
		s.find(RuleTrailingBytes, 0, at, "%d bytes follow the inflated data set", s.src.pos-at)
	}
	return s.afterDeflate()
}

// afterDeflate looks at what follows the deflated data: nothing, a zero that
// pads to even length, or the checksum of the wrapper that some writers take
// their deflater's output from (gzip: CRC and length, zlib: Adler-32).
func (s *scanner) afterDeflate() error {
	f := s.src.stream
	rest, err := io.ReadAll(io.LimitReader(f.in, 10))
	if err != nil {
		return fmt.Errorf("read a DICOM file after its deflated data set: %w", err)
	}
	trailer := 0
	switch {
	case f.zlib && len(rest) >= 4:
		trailer = 4
	case len(rest) >= 8 && binary.LittleEndian.Uint32(rest[4:]) == uint32(f.written):
		trailer = 8
	}
	s.h.DataSetEnd = f.fileOffset() - int64(len(rest)-trailer)
	if rest = rest[trailer:]; len(rest) > 1 || !allZero(rest) {
		s.find(RuleTrailingBytes, 0, 0, "bytes follow the deflated data set")
	}
	return nil
}

// leaveGuess steps over the innermost sequence that was entered on a guess,
// when err says that its content is none.
func (s *scanner) leaveGuess(err error) bool {
	var r *Refusal
	if !errors.As(err, &r) {
		return false
	}
	switch r.Reason {
	case ReasonLengthInvalid, ReasonElementInvalid, ReasonSequenceInvalid:
	default:
		return false
	}
	for i := len(s.stack) - 1; i >= 0; i-- {
		if !s.stack[i].guess {
			continue
		}
		tag, limit := s.stack[i].tag, s.stack[i].limit
		for len(s.stack) > i {
			s.pop()
		}
		return s.skipTo(tag, limit) == nil
	}
	return false
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
