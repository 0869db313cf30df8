package dicomfile

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
)

// craft writes data sets for the tests in any encoding, right or wrong.
type craft struct {
	enc encoding
	b   []byte
}

func (c *craft) u16(v uint16) { c.b = append(c.b, order(c.enc, 2, uint64(v))...) }
func (c *craft) u32(v uint32) { c.b = append(c.b, order(c.enc, 4, uint64(v))...) }

func order(enc encoding, n int, v uint64) []byte {
	b := binary.LittleEndian.AppendUint64(nil, v)[:n]
	if enc.bigEndian {
		slices.Reverse(b)
	}
	return b
}

func (c *craft) tag(t Tag) { c.u16(t.group()); c.u16(uint16(t)) }

// head writes an element header with any length.
func (c *craft) head(t Tag, vr string, length uint32) *craft {
	c.tag(t)
	switch {
	case c.enc.implicit:
		c.u32(length)
	case vrOf(vr[0], vr[1]).form() == formShort:
		c.b = append(c.b, vr...)
		c.u16(uint16(length))
	default:
		c.b = append(append(c.b, vr...), 0, 0)
		c.u32(length)
	}
	return c
}

func (c *craft) el(t Tag, vr, value string) *craft {
	c.head(t, vr, uint32(len(value)))
	c.b = append(c.b, value...)
	return c
}

func (c *craft) us(t Tag, v uint16) *craft { return c.el(t, "US", string(order(c.enc, 2, uint64(v)))) }

// item writes an item, delimiter or fragment header.
func (c *craft) item(t Tag, length uint32) *craft {
	c.tag(t)
	c.u32(length)
	return c
}

func (c *craft) raw(s string) *craft { c.b = append(c.b, s...); return c }

func (c *craft) undefined(t Tag, vr string) *craft { return c.head(t, vr, lengthUndefined) }

// fragments writes encapsulated pixel data with an empty offset table.
func (c *craft) fragments(values ...string) *craft {
	c.undefined(tagPixels, "OB").item(tagItem, 0)
	for _, v := range values {
		c.item(tagItem, uint32(len(v))).raw(v)
	}
	return c.item(tagSequenceEnd, 0)
}

const (
	secondaryCapture = "1.2.840.10008.5.1.4.1.1.7\x00"
	instanceUID      = "1.2.3.4\x00"
)

// ids begins a data set with all it needs to be stored.
func (c *craft) ids() *craft {
	c.el(tagSOPClass, "UI", secondaryCapture).el(tagSOPInstance, "UI", instanceUID)
	c.el(tagStudyDate, "DA", "20240229").el(tagModality, "CS", "OT").el(tagPatientID, "LO", "P-1 ")
	return c.el(tagStudyInstance, "UI", "1.2.3\x00").el(tagSeriesInstance, "UI", "1.2.3.5\x00")
}

// image describes one frame of 4 x 2 pixels with 16 bits.
func (c *craft) image() *craft {
	c.us(tagSamples, 1).el(tagPhotometric, "CS", "MONOCHROME2 ").us(tagRows, 2).us(tagColumns, 4)
	return c.us(tagBitsAllocated, 16).us(tagBitsStored, 12).us(tagHighBit, 11).us(tagPixelRep, 0)
}

func (c *craft) pixels() *craft { return c.el(tagPixels, "OW", string(make([]byte, 16))) }

// part10 puts preamble and meta information before a data set.
func part10(syntax string, dataset []byte) []byte {
	var meta craft
	meta.el(0x00020001, "OB", "\x00\x01").el(tagMediaClass, "UI", secondaryCapture).el(tagMediaInstance, "UI", instanceUID)
	if syntax != "" {
		meta.el(tagTransferSyntax, "UI", syntax+string(make([]byte, len(syntax)%2)))
	}
	return slices.Concat(bare(&meta), dataset)
}

// bare is preamble and the given meta information, with its group length.
func bare(meta *craft) []byte {
	head := &craft{b: append(make([]byte, 128), "DICM"...)}
	head.el(tagMetaLength, "UL", string(order(encoding{}, 4, uint64(len(meta.b)))))
	return append(head.b, meta.b...)
}

func deflate(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func scanBytes(t testing.TB, b []byte) (Header, error) {
	t.Helper()
	return Scan(t.Context(), bytes.NewReader(b), int64(len(b)), Limits{})
}

// reasonOf is the reason of a refusal, "" without an error, and fails the test
// for any other error.
func reasonOf(t testing.TB, err error) string {
	t.Helper()
	var refusal *Refusal
	if err != nil && !errors.As(err, &refusal) {
		t.Fatalf("not a refusal: %v", err)
	}
	if refusal == nil {
		return ""
	}
	return refusal.Reason
}

func rulesOf(h Header) []string {
	var rules []string
	for _, f := range h.Findings {
		rules = append(rules, f.Rule)
	}
	slices.Sort(rules)
	return rules
}
