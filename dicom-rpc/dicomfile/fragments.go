package dicomfile

import (
	"errors"
	"fmt"
	"io"
)

// fragmentsOf walks the items of encapsulated pixel data (PS3.5 A.4): the basic
// offset table, then fragments, then a sequence delimiter.
func (s *scanner) fragmentsOf(f *frame, e element) error {
	top := f.kind == dataSet && e.tag == tagPixels
	if err := s.skipTo(e.tag, e.value()); err != nil {
		return err
	}
	if top {
		s.img.found(e, true)
	}
	var last element
	for n := 0; ; n++ {
		b, err := s.src.peek(int(min(8, f.limit-s.src.pos)))
		if err != nil {
			return err
		}
		if len(b) < 8 {
			return s.unclosed(f, e, last, len(b), n-1, top)
		}
		i := itemHeader(b, f.enc, s.src.pos)
		if i.tag == tagSequenceEnd {
			return s.delimiter(f, i)
		}
		if err := s.fragment(f, e, i, n, top); err != nil {
			return err
		}
		last = i
	}
}

// fragment checks and steps over one item; n counts from the offset table, 0.
func (s *scanner) fragment(f *frame, e, i element, n int, top bool) error {
	if i.tag != tagItem {
		return s.refuse(ReasonSequenceInvalid, e.tag, i.at, "neither a fragment nor the delimiter inside compressed pixel data")
	}
	if s.fragments++; s.fragments > s.lim.Fragments {
		return s.refuse(ReasonTooManyFragments, e.tag, i.at, "more than %d fragments", s.lim.Fragments)
	}
	if err := s.tick(); err != nil {
		return err
	}
	if i.undefined() {
		return s.refuse(ReasonLengthInvalid, e.tag, i.at, "a fragment of undefined length")
	}
	if i.end() > f.limit {
		return s.overrun(f, element{tag: e.tag, at: i.at, length: i.length})
	}
	if i.length%2 == 1 {
		s.find(RuleOddLength, e.tag, i.at, "a fragment has the odd length %d", i.length)
	}
	if top && n > 0 {
		s.img.fragments++
		if s.img.fragments == 1 {
			if err := s.lookAtCodestream(i); err != nil {
				return err
			}
		}
	}
	return s.skipTo(e.tag, i.end())
}

// unclosed decides about pixel data whose delimiter is missing because the file
// ends: if all frames are there it is stored with a finding, else the file was
// cut between two fragments.
func (s *scanner) unclosed(f *frame, e, last element, rest, fragments int, top bool) error {
	if f.bounded || rest > 0 || !top || s.src.stream != nil || fragments < 1 {
		return s.truncated(e.tag, s.src.pos)
	}
	frames, ok := s.img.frames()
	if !ok || int64(fragments) < frames {
		return s.truncated(e.tag, s.src.pos)
	}
	whole, err := s.wholeFrames(last, int64(fragments) == frames)
	if err != nil {
		return err
	}
	if !whole {
		return s.truncated(e.tag, s.src.pos)
	}
	s.find(RuleDelimiterMissing, e.tag, s.src.pos, "%d fragments for %d frames, then the file ends", fragments, frames)
	return nil
}

// wholeFrames tells whether the last fragment ends a frame: JPEG, JPEG-LS and
// JPEG 2000 share an end-of-image marker, RLE and its like have one fragment a
// frame.
func (s *scanner) wholeFrames(last element, onePerFrame bool) (bool, error) {
	switch s.syntax.codec {
	case codecFrames:
		return onePerFrame, nil
	case codecJPEG, codecJ2K:
	default:
		return false, nil
	}
	if last.length < 4 {
		return false, nil
	}
	var b [3]byte
	if _, err := s.src.file.ReadAt(b[:], last.end()-3); err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read a DICOM file at byte %d: %w", last.end()-3, err)
	}
	return b[1] == 0xFF && b[2] == 0xD9 || b == [3]byte{0xFF, 0xD9, 0}, nil
}
