package dicomfile

import (
	"bufio"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
)

const (
	windowSize = 8 << 10
	// endUnknown is the end of a deflated data set until it has been inflated.
	endUnknown = math.MaxInt64 / 4
	// maxInflated is the largest deflated data set that is read to its end,
	// give or take one InflateRatio; pixel data ends at 4 GiB anyway.
	maxInflated = 16 << 30
)

// source is a window that moves forward over the bytes to scan. Over a file it
// jumps; over an inflated stream it reads its way.
type source struct {
	file   io.ReaderAt
	stream *inflater // nil over a file
	end    int64     // first position after the bytes
	pos    int64     // of the next byte; never beyond end
	window []byte    // bytes from base on, within buf
	base   int64
	buf    [windowSize]byte
}

func newFileSource(r io.ReaderAt, size int64) *source {
	return &source{file: r, end: size}
}

// fileOffset turns a position into an offset in the file: of an inflated data
// set it gives how far the compressed bytes had been read.
func (s *source) fileOffset(pos int64) int64 {
	if s.stream != nil {
		return s.stream.fileOffset()
	}
	return min(pos, s.end)
}

// peek gives the next n bytes, at most windowSize, without moving; fewer only
// where the bytes end. The slice holds until the next call.
func (s *source) peek(n int) ([]byte, error) {
	if have := s.ahead(); have < n {
		if err := s.fill(n); err != nil {
			return nil, err
		}
	}
	have := s.ahead()
	off := int(s.pos - s.base)
	return s.window[off : off+min(n, have)], nil
}

// ahead is how many bytes from pos on lie in the window.
func (s *source) ahead() int {
	if s.pos < s.base || s.pos > s.base+int64(len(s.window)) {
		s.base, s.window = s.pos, nil
	}
	return len(s.window) - int(s.pos-s.base)
}

// fill moves the window to pos and reads at least n bytes into it.
func (s *source) fill(n int) error {
	kept := copy(s.buf[:], s.window[s.pos-s.base:])
	s.base, s.window = s.pos, s.buf[:kept]
	if s.stream != nil {
		return s.fillStream(n)
	}
	want := min(int64(len(s.buf)), s.end-s.pos)
	if want <= int64(kept) {
		return nil
	}
	got, err := s.file.ReadAt(s.buf[kept:want], s.pos+int64(kept))
	s.window = s.buf[:kept+got]
	if errors.Is(err, io.EOF) {
		if int64(len(s.window)) < want { // shorter than its size said
			s.end = s.pos + int64(len(s.window))
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read a DICOM file at byte %d: %w", s.pos, err)
	}
	return nil
}

func (s *source) fillStream(n int) error {
	for len(s.window) < n && s.end == endUnknown {
		got, err := s.stream.Read(s.buf[len(s.window):])
		s.window = s.buf[:len(s.window)+got]
		if errors.Is(err, io.EOF) {
			s.end = s.base + int64(len(s.window))
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// skip moves n bytes on. It tells false when the bytes end before; over a file
// callers have compared with end and it is always true.
func (s *source) skip(ctx context.Context, n int64) (bool, error) {
	if s.stream == nil {
		if n > s.end-s.pos {
			s.pos = s.end
			return false, nil
		}
		s.pos += n
		return true, nil
	}
	for {
		step := min(n, int64(s.ahead()))
		s.pos += step
		n -= step
		if n == 0 {
			return true, nil
		}
		if err := ctx.Err(); err != nil {
			return false, context.Cause(ctx)
		}
		if err := s.fill(1); err != nil {
			return false, err
		}
		if s.ahead() == 0 {
			return false, nil
		}
	}
}

// inflater reads a deflated data set (PS3.5 A.5: raw RFC 1951) and stops where
// it becomes larger than any real one.
type inflater struct {
	out     io.Reader
	in      *countedBytes
	zlib    bool  // the data wears the header of RFC 1950, which some writers leave on
	start   int64 // offset in the file of the first compressed byte
	written int64
	limit   int64
}

var errBomb = errors.New("inflates beyond the limit")

// newInflater inflates the bytes of r from start to end.
func newInflater(r io.ReaderAt, start, end int64, lim Limits) (*inflater, error) {
	in := &countedBytes{r: bufio.NewReaderSize(io.NewSectionReader(r, start, end-start), 4096)}
	head, err := in.r.Peek(5)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read a DICOM file at byte %d: %w", start, err)
	}
	zlib := zlibHeader(head)
	if zlib {
		if _, err := in.r.Discard(2); err != nil {
			return nil, fmt.Errorf("read a DICOM file at byte %d: %w", start, err)
		}
		in.n = 2
	}
	limit := lim.InflateFloor
	if size := end - start; size > limit/lim.InflateRatio {
		limit = min(size, maxInflated/lim.InflateRatio+1) * lim.InflateRatio
	}
	return &inflater{out: flate.NewReader(in), in: in, zlib: zlib, start: start, limit: limit}, nil
}

// zlibHeader tells a zlib header from raw deflate. As raw deflate its first
// byte would open a stored block, whose length is then repeated inverted.
func zlibHeader(b []byte) bool {
	if len(b) < 5 || b[0]&0x0F != 8 || (uint(b[0])<<8|uint(b[1]))%31 != 0 {
		return false
	}
	return b[1] != ^b[3] || b[2] != ^b[4]
}

func (f *inflater) fileOffset() int64 { return f.start + f.in.n }

func (f *inflater) Read(p []byte) (int, error) {
	n, err := f.out.Read(p)
	f.written += int64(n)
	if f.written > f.limit {
		return n, errBomb
	}
	return n, err
}

// countedBytes counts what the inflater really used: flate reads single bytes
// from an io.ByteReader, so that what follows the deflated data is not touched.
type countedBytes struct {
	r *bufio.Reader
	n int64
}

func (c *countedBytes) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

func (c *countedBytes) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
