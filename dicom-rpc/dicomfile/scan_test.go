package dicomfile

import (
	"bytes"
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	implicitLE = "1.2.840.10008.1.2"
	explicitLE = "1.2.840.10008.1.2.1"
	explicitBE = "1.2.840.10008.1.2.2"
	deflated   = "1.2.840.10008.1.2.1.99"
	jpegTS     = "1.2.840.10008.1.2.4.50"
	rleTS      = "1.2.840.10008.1.2.5"
	j2kTS      = "1.2.840.10008.1.2.4.90"
	mpegTS     = "1.2.840.10008.1.2.4.102"
	gePrivate  = "1.2.840.113619.5.2"
)

func explicit() *craft { return &craft{} }
func implicit() *craft { return &craft{enc: encoding{implicit: true}} }
func bigCraft() *craft { return &craft{enc: encoding{bigEndian: true}} }

// explicitIDs begins an explicit little endian data set that needs only pixels.
func explicitIDs() *craft { return explicit().ids().image() }

func TestScanReadsTheHeader(t *testing.T) {
	for name, file := range map[string][]byte{
		"explicit": part10(explicitLE, explicit().ids().image().pixels().b),
		"implicit": part10(implicitLE, implicit().ids().image().pixels().b),
		"big":      part10(explicitBE, bigCraft().ids().image().pixels().b),
		"deflated": part10(deflated, deflate(t, explicit().ids().image().pixels().b)),
		"rle":      part10(rleTS, explicit().ids().image().fragments("1234").b),
	} {
		t.Run(name, func(t *testing.T) {
			h, err := scanBytes(t, file)
			if err != nil || len(h.Findings) > 0 {
				t.Fatalf("%v, findings %v", err, h.Findings)
			}
			want := Header{
				TransferSyntax: h.TransferSyntax, MediaStorageClass: "1.2.840.10008.5.1.4.1.1.7", MediaStorageInstance: "1.2.3.4",
				SOPClassUID: "1.2.840.10008.5.1.4.1.1.7", SOPInstanceUID: "1.2.3.4", StudyInstanceUID: "1.2.3", SeriesInstanceUID: "1.2.3.5",
				PatientID: "P-1", StudyDate: "20240229", StudyDay: time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC), StudyDateOK: true,
				Modality: "OT", Rows: 2, Columns: 4, BitsAllocated: 16, NumberOfFrames: 1, DataSetEnd: int64(len(file)),
			}
			if !reflect.DeepEqual(h, want) {
				t.Errorf("got  %+v\nwant %+v", h, want)
			}
		})
	}
}

// TestScanAccepts lists what real files do and the finding that each leaves.
func TestScanAccepts(t *testing.T) {
	nested := func() *craft { // an undefined sequence with an undefined item, implicit
		return implicit().item(tagItem, lengthUndefined).el(0x00080100, "SH", "A ").item(tagItemDelimiter, 0)
	}
	one := implicit().el(0x00080100, "SH", "A ")
	jpeg := "\xFF\xD8\xFF\xE0\x00\x04AB\xFF\xC0\x00\x0B\x08\x00\x02\x00\x04\x01\x01\x11\x00\xFF\xD9\x00"
	cases := []struct {
		name   string
		syntax string
		data   *craft
		rules  []string // nil: none
	}{
		{"sequence of stated length", explicitLE, explicit().head(0x00081140, "SQ", 8).item(tagItem, 0).ids().image().pixels(), []string{RuleTagOrder}},
		{"empty sequence", explicitLE, explicit().ids().head(0x00400275, "SQ", 0), []string{RulePixelsMissing}},
		{"undefined sequence", explicitLE, explicitIDs().undefined(0x00400275, "SQ").item(tagItem, lengthUndefined).
			el(0x00400007, "LO", "A ").item(tagItemDelimiter, 0).item(tagSequenceEnd, 0).pixels(), nil},
		{"big endian sequence", explicitBE, bigCraft().ids().image().undefined(0x00400275, "SQ").item(tagItem, lengthUndefined).
			el(0x00400007, "LO", "A ").item(tagItemDelimiter, 0).item(tagSequenceEnd, 0).pixels(), nil},
		{"UN of undefined length is implicit inside", explicitLE, explicitIDs().undefined(0x00411010, "UN").raw(string(nested().b)).
			item(tagSequenceEnd, 0).pixels(), nil},
		{"UN of stated length with items", explicitLE, explicitIDs().el(0x00411010, "UN", string(nested().b)).pixels(), nil},
		{"private bytes that only look like items", explicitLE, explicitIDs().
			el(0x00411010, "UN", string(implicit().item(tagItem, 8).raw("\x08\x00\x00\x01\xFF\xFF\xFF\x00").b)).pixels(), nil},
		{"implicit private sequence", implicitLE, implicit().ids().image().undefined(0x00411010, "").raw(string(nested().b)).
			item(tagSequenceEnd, 0).pixels(), nil},
		{"implicit standard sequence of stated length", implicitLE, implicit().ids().image().
			el(0x00400275, "", string(implicit().item(tagItem, uint32(len(one.b))).raw(string(one.b)).b)).pixels(), nil},
		{"text where the standard has a sequence", implicitLE, implicit().ids().image().el(0x0040A170, "", "TEXT").pixels(), []string{RuleSequenceMalformed}},
		{"sequence too short for an item", explicitLE, explicitIDs().el(0x00400275, "SQ", "\xFE\xFF\x00\xE0").pixels(), []string{RuleSequenceMalformed}},
		{"implicit item in an explicit file", explicitLE, explicitIDs().head(0x00400275, "SQ", uint32(8+len(one.b))).
			item(tagItem, uint32(len(one.b))).raw(string(one.b)).pixels(), []string{RuleVREncoding}},
		{"implicit, announced as explicit", explicitLE, implicit().ids().image().pixels(), []string{RuleVREncoding}},
		{"explicit, announced as implicit", implicitLE, explicit().ids().image().pixels(), []string{RuleVREncoding}},
		{"VR of a later edition", explicitLE, explicitIDs().head(0x00411010, "ZZ", 4).raw("abcd").pixels(), []string{RuleVRUnknown}},
		{"VR of two question marks", explicitLE, explicitIDs().raw("\x41\x00\x10\x10??\x04\x00abcd").pixels(), []string{RuleVRUnknown}},
		{"one element without VR", explicitLE, explicitIDs().raw("\x41\x00\x10\x10\x04\x00\x00\x00abcd").pixels(), []string{RuleVREncoding}},
		{"64-bit VRs", explicitLE, explicitIDs().el(0x00411010, "OV", "12345678").el(0x00411011, "SV", "12345678").el(0x00411012, "UV", "12345678").pixels(), nil},
		{"group length", explicitLE, explicit().el(0x00080000, "UL", "\x01\x00\x00\x00").ids().image().pixels(), nil},
		{"odd length", explicitLE, explicitIDs().el(0x00411010, "LO", "abc").pixels(), []string{RuleOddLength}},
		{"order", explicitLE, explicit().image().ids().pixels(), []string{RuleTagOrder}},
		{"duplicate with the same value", explicitLE, explicit().ids().el(tagSeriesInstance, "UI", "1.2.3.5\x00").image().pixels(), []string{RuleDuplicateElement, RuleDuplicateElement}},
		{"UID under UN", explicitLE, explicit().el(tagSOPClass, "UN", secondaryCapture).el(tagSOPInstance, "UI", instanceUID).
			el(tagStudyInstance, "UI", "1.23").el(tagSeriesInstance, "UI", "1.34").image().pixels(), []string{RuleUIDVR}},
		{"padding", explicitLE, explicitIDs().pixels().el(0xFFFCFFFC, "OB", "\x00\x00"), nil},
		{"zeros at the end", explicitLE, explicitIDs().pixels().raw(string(make([]byte, 50))), []string{RuleTrailingBytes}},
		{"five zeros at the end", implicitLE, implicit().ids().image().pixels().raw(string(make([]byte, 5))), []string{RuleTrailingBytes}},
		{"garbage at the end", explicitLE, explicitIDs().pixels().raw("\xC5\x12garbage in many bytes"), []string{RuleTrailingBytes}},
		{"garbage after implicit pixels", implicitLE, implicit().ids().image().pixels().raw("\x13\x00garbage in many bytes"), []string{RuleTrailingBytes}},
		{"private after the pixels", explicitLE, explicitIDs().pixels().el(0x7FE10010, "LO", "ACME"), nil},
		{"stray delimiter", explicitLE, explicit().item(tagItemDelimiter, 0).ids().image().pixels(), []string{RuleDelimiter}},
		{"item closed by the sequence's delimiter", explicitLE, explicitIDs().undefined(0x00400275, "SQ").item(tagItem, lengthUndefined).
			el(0x00400007, "LO", "A ").item(tagSequenceEnd, 0).pixels(), []string{RuleDelimiter}},
		{"fragments in odd bytes", rleTS, explicitIDs().fragments("123"), []string{RuleOddLength}},
		{"delimiter missing after the last RLE frame", rleTS, &craft{b: cutTail(explicitIDs().fragments("1234").b, 8)}, []string{RuleDelimiterMissing}},
		{"delimiter missing after a JPEG's end", jpegTS, &craft{b: cutTail(explicitIDs().fragments(jpeg).b, 8)}, []string{RuleDelimiterMissing}},
		{"JPEG that fits", jpegTS, explicitIDs().fragments(jpeg), nil},
		{"JPEG of another size", jpegTS, explicitIDs().fragments(strings.Replace(jpeg, "\x00\x02\x00\x04", "\x00\x09\x00\x04", 1)), []string{RulePixelsMismatch}},
		{"JPEG of three components", jpegTS, explicitIDs().fragments(strings.Replace(jpeg, "\x04\x01\x01", "\x04\x03\x01", 1)), []string{RulePixelsMismatch}},
		{"JPEG 2000 with signed values", j2kTS, explicitIDs().fragments(j2kFrame(0x8B)), []string{RulePixelsMismatch}},
		{"JPEG 2000 with too many bits", j2kTS, explicitIDs().fragments(j2kFrame(0x1F)), []string{RulePixelsMismatch}},
		{"JPEG 2000 that fits", j2kTS, explicitIDs().fragments(j2kFrame(0x0B)), nil},
		{"video: one fragment for many frames", mpegTS, explicit().ids().el(tagFrames, "IS", "50").image().fragments("1234"), []string{RuleTagOrder}},
		{"too few fragments", rleTS, explicit().ids().image().el(tagFrames, "IS", "50").fragments("1234"), []string{RulePixelsUnrenderable, RuleTagOrder}},
		{"frames beyond 64 bits", explicitLE, explicit().ids().image().us(tagRows, 65535).el(tagFrames, "IS", "2147483647").pixels(), []string{RuleDuplicateElement, RulePixelsUnrenderable, RuleTagOrder}},
		{"frames beyond 32 bits", explicitLE, explicit().ids().el(tagFrames, "IS", "99999999999 ").image().pixels(), []string{RulePixelsUnrenderable, RuleTagOrder}},
		{"pixels too short", explicitLE, explicitIDs().el(tagPixels, "OW", "1234"), []string{RulePixelsUnrenderable}},
		{"pixels too long", explicitLE, explicitIDs().el(tagPixels, "OW", strings.Repeat("1234", 5)), []string{RulePixelsMismatch}},
		{"native pixels under a compressed syntax", jpegTS, explicitIDs().pixels(), []string{RulePixelsUnrenderable}},
		{"fragments under a native syntax", explicitLE, explicitIDs().fragments("1234"), []string{RulePixelsUnrenderable}},
		{"no fragment", rleTS, explicitIDs().fragments(), []string{RulePixelsUnrenderable}},
		{"pixels without description", explicitLE, explicit().ids().pixels(), []string{RulePixelsUnrenderable}},
		{"date that is none", explicitLE, explicit().ids().el(tagPixelProvider, "UR", "x "), nil},
		{"private syntax of GE", gePrivate, implicit().ids().image().pixels(), []string{RuleSyntaxPrivate}},
		{"command group", explicitLE, explicit().el(0x00000002, "UI", "1.2\x00").ids().image().pixels(), []string{RuleTagIllegal}},
		{"charset typo", explicitLE, explicit().el(tagCharset, "CS", "ISO-IR 100").ids().image().pixels(), []string{RuleCharsetUnknown}},
		{"two charsets", explicitLE, explicit().el(tagCharset, "CS", `\ISO 2022 IR 87 `).ids().image().pixels(), nil},
		{"charset under US", explicitLE, explicit().us(tagCharset, 100).ids().image().pixels(), []string{RuleCharsetVR}},
		{"number without value", explicitLE, explicitIDs().el(0x00280106, "US", "").pixels(), []string{RuleNumberEmpty}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h, err := scanBytes(t, part10(c.syntax, c.data.b))
			if err != nil {
				t.Fatal(err)
			}
			rules := rulesOf(h)
			if !slices.Equal(rules, slices.Compact(slices.Sorted(slices.Values(c.rules)))) {
				t.Errorf("findings %v, want %v", h.Findings, c.rules)
			}
			if h.SOPInstanceUID != "1.2.3.4" {
				t.Errorf("SOP instance %q: the walk went wrong", h.SOPInstanceUID)
			}
		})
	}
}

func cutTail(b []byte, n int) []byte { return b[:len(b)-n] }

// j2kFrame is the head of a JPEG 2000 codestream of 4 x 2 pixels, one component.
func j2kFrame(ssiz byte) string {
	return "\xFF\x4F\xFF\x51\x00\x29\x00\x00\x00\x00\x00\x04\x00\x00\x00\x02" + string(make([]byte, 8)) +
		"\x00\x00\x00\x04\x00\x00\x00\x02" + string(make([]byte, 8)) + "\x00\x01" + string([]byte{ssiz, 1, 1}) + "\xFF\xD9\x00"
}

// TestScanRefuses lists what is broken or hostile.
func TestScanRefuses(t *testing.T) {
	deep := explicit().ids()
	for range 65 {
		deep.undefined(0x0040A730, "SQ").item(tagItem, lengthUndefined)
	}
	deepUN := implicit()
	for range 65 { // nested by stated length, private, implicit: only a guess finds it
		value := append(implicit().item(tagItem, uint32(len(deepUN.b))).b, deepUN.b...)
		deepUN = implicit().el(0x00411010, "", string(value))
	}
	many := explicit().ids().raw(strings.Repeat("\x11\x00\x01\x10LO\x00\x00", 100_500))
	bomb := deflate(t, explicit().ids().el(0x00411010, "OB", strings.Repeat("\x00", 17<<20)).b)
	cases := []struct {
		name   string
		file   []byte
		reason string
	}{
		{"nothing", nil, ReasonNotPart10},
		{"131 bytes", part10(explicitLE, nil)[:131], ReasonNotPart10},
		{"132 bytes", part10(explicitLE, nil)[:132], ReasonMetaInvalid},
		{"meta cut", part10(explicitLE, nil)[:150], ReasonTruncated},
		{"no syntax", part10("", explicit().ids().b), ReasonTransferSyntaxMissing},
		{"unknown syntax", part10("1.2.3", explicit().ids().b), ReasonTransferSyntaxUnknown},
		{"syntax of words", part10("Implicit", explicit().ids().b), ReasonUIDInvalid},
		{"two syntaxes", bare(explicit().el(tagTransferSyntax, "UI", "1.2.840.10008.1.2\x00").el(tagTransferSyntax, "UI", "1.2.840.10008.1.2.1\x00")), ReasonElementDuplicate},
		{"meta of 4 GiB", bare(explicit().head(0x00020102, "OB", 0xFFFFFFF0)), ReasonMetaInvalid},
		{"meta of undefined length", bare(explicit().undefined(0x00020102, "OB")), ReasonMetaInvalid},
		{"meta of 65 KiB", bare(explicit().el(0x00020102, "OB", string(make([]byte, 65<<10)))), ReasonMetaInvalid},
		{"path in the meta UID", bare(explicit().el(tagMediaInstance, "UI", "../../../../etc/passwd")), ReasonUIDInvalid},
		{"DICOMDIR", bare(explicit().el(tagMediaClass, "UI", "1.2.840.10008.1.3.10").el(tagTransferSyntax, "UI", "1.2.840.10008.1.2.1\x00")), ReasonClassNotStored},
		{"no UIDs", part10(explicitLE, explicitIDs().b[:0]), ReasonUIDMissing},
		{"empty UID", part10(explicitLE, explicit().el(tagSOPClass, "UI", secondaryCapture).el(tagSOPInstance, "UI", "").b), ReasonUIDMissing},
		{"UID of 65 digits", part10(explicitLE, explicit().el(tagSOPInstance, "UI", strings.Repeat("1", 65)).b), ReasonUIDInvalid},
		{"UID of 64 KiB", part10(explicitLE, explicit().el(tagSOPInstance, "UN", strings.Repeat("1", 1<<16)).b), ReasonUIDInvalid},
		{"UID with padding and more", part10(explicitLE, explicit().el(tagSOPInstance, "UN", "1.2"+strings.Repeat(" ", 600)+"x").b), ReasonUIDInvalid},
		{"UID with letters", part10(explicitLE, explicit().el(tagSOPInstance, "UI", "1.2.abc").b), ReasonUIDInvalid},
		{"UID with an empty part", part10(explicitLE, explicit().el(tagSOPInstance, "UI", "1..2").b), ReasonUIDInvalid},
		{"two UIDs in one", part10(explicitLE, explicit().el(tagSOPInstance, "UI", `1.2\1.3`).b), ReasonUIDInvalid},
		{"instance twice", part10(explicitLE, explicit().ids().el(tagSOPInstance, "UI", "1.9\x00").b), ReasonElementDuplicate},
		{"patient twice", part10(explicitLE, explicit().ids().el(tagPatientID, "LO", "P-2 ").b), ReasonElementDuplicate},
		{"too deep", part10(explicitLE, deep.b), ReasonTooDeep},
		{"too deep, private", part10(implicitLE, append(implicit().ids().b, deepUN.b...)), ReasonTooDeep},
		{"too deep inside UN", part10(explicitLE, explicit().ids().el(0x00411010, "UN", string(deepUN.b[8:])).b), ReasonTooDeep},
		{"too many elements", part10(explicitLE, many.b), ReasonTooManyElements},
		{"cut value", part10(explicitLE, cutTail(explicitIDs().pixels().b, 1)), ReasonTruncated},
		{"cut header", part10(explicitLE, explicitIDs().raw("\xE0\x7F\x10").b), ReasonTruncated},
		{"cut long header", part10(explicitLE, explicitIDs().raw("\xE0\x7F\x10\x00OW\x00\x00\x01").b), ReasonTruncated},
		{"4 GiB in an implicit element", part10(implicitLE, implicit().ids().head(0x00100010, "", 0xFFFFFFFE).b), ReasonTruncated},
		{"undefined length in text", part10(explicitLE, explicit().ids().undefined(0x00411010, "UT").b), ReasonLengthInvalid},
		{"element beyond its item", part10(explicitLE, explicit().ids().head(0x00400275, "SQ", 16).item(tagItem, 8).head(0x00400007, "LO", 4).raw("abcd").b), ReasonLengthInvalid},
		{"item beyond its sequence", part10(explicitLE, explicit().ids().head(0x00400275, "SQ", 16).item(tagItem, 12).head(0x00400007, "LO", 4).raw("abcd").b), ReasonLengthInvalid},
		{"item of 4 GiB", part10(explicitLE, explicit().ids().undefined(0x00400275, "SQ").item(tagItem, 0xFFFFFFFE).b), ReasonTruncated},
		{"undefined sequence without end", part10(explicitLE, explicit().ids().undefined(0x00400275, "SQ").b), ReasonTruncated},
		{"undefined item without end", part10(explicitLE, explicit().ids().undefined(0x00400275, "SQ").item(tagItem, lengthUndefined).b), ReasonTruncated},
		{"undefined sequence of words", part10(explicitLE, explicit().ids().undefined(0x00400275, "SQ").raw("no item here").b), ReasonSequenceInvalid},
		{"item in a data set", part10(explicitLE, explicit().ids().item(tagItem, 0).b), ReasonElementInvalid},
		{"fragment beyond the end", part10(rleTS, cutTail(explicitIDs().fragments("1234").b, 9)), ReasonTruncated},
		{"fragment of 4 GiB", part10(rleTS, explicitIDs().undefined(tagPixels, "OB").item(tagItem, 0xFFFFFFFE).b), ReasonTruncated},
		{"fragment of undefined length", part10(rleTS, explicitIDs().undefined(tagPixels, "OB").item(tagItem, lengthUndefined).b), ReasonLengthInvalid},
		{"fragments of words", part10(rleTS, explicitIDs().undefined(tagPixels, "OB").raw("no item here").b), ReasonSequenceInvalid},
		{"cut between two fragments", part10(jpegTS, cutTail(explicitIDs().fragments("1234").b, 8)), ReasonTruncated},
		{"cut before the last frame", part10(rleTS, cutTail(explicit().ids().image().el(tagFrames, "IS", "2 ").fragments("1234").b, 8)), ReasonTruncated},
		{"deflated and cut", part10(deflated, cutTail(deflate(t, explicitIDs().pixels().b), 3)), ReasonTruncated},
		{"deflated data set cut", part10(deflated, deflate(t, cutTail(explicitIDs().pixels().b, 3))), ReasonTruncated},
		{"deflated nothing", part10(deflated, nil), ReasonTruncated},
		{"not deflated", part10(deflated, explicitIDs().pixels().b), ReasonDeflateInvalid},
		{"deflate bomb", part10(deflated, bomb), ReasonDeflateBomb},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h, err := scanBytes(t, c.file)
			if reason := reasonOf(t, err); reason != c.reason {
				t.Fatalf("%v, findings %v; want %s", err, h.Findings, c.reason)
			}
			if r := err.(*Refusal); r.Offset < 0 || r.Offset > int64(len(c.file)) || r.Message == "" {
				t.Errorf("%+v, in a file of %d bytes", r, len(c.file))
			}
		})
	}
}

func TestScanMetaFindings(t *testing.T) {
	good := part10(explicitLE, explicitIDs().pixels().b)
	noLength := slices.Concat(good[:132], good[144:])
	wrongLength := slices.Clone(good)
	wrongLength[140]++
	html := slices.Clone(good)
	copy(html, "<html>")
	onlySyntax := append(bare(explicit().el(tagTransferSyntax, "UI", explicitLE+"\x00")), explicitIDs().pixels().b...)
	otherUID := bytes.Replace(good, []byte("1.2.3.4\x00"), []byte("1.2.3.9\x00"), 1)
	implicitMeta := implicit().el(tagMediaClass, "", secondaryCapture).el(tagMediaInstance, "", instanceUID).el(tagTransferSyntax, "", explicitLE+"\x00")
	for name, c := range map[string]struct {
		file []byte
		rule string
	}{
		"no group length":    {noLength, RuleMetaLength},
		"wrong group length": {wrongLength, RuleMetaLength},
		"preamble":           {html, RulePreambleUsed},
		"no media UIDs":      {onlySyntax, RuleMetaIncomplete},
		"other instance":     {otherUID, RuleMetaMismatch},
		"implicit":           {append(bare(implicitMeta), explicitIDs().pixels().b...), RuleVREncoding},
	} {
		h, err := scanBytes(t, c.file)
		if err != nil || !slices.Equal(rulesOf(h), []string{c.rule}) {
			t.Errorf("%s: %v, findings %v; want %s", name, err, h.Findings, c.rule)
		}
	}
}

func TestScanDeflateWrappers(t *testing.T) {
	data := explicitIDs().pixels().b
	raw := deflate(t, data)
	size := order(encoding{}, 4, uint64(len(data)))
	for name, c := range map[string]struct {
		file  []byte
		rules []string
	}{
		"zlib":           {slices.Concat([]byte{0x78, 0x9C}, raw, []byte("adlr")), []string{RuleVREncoding}},
		"gzip trailer":   {slices.Concat(raw, []byte("crc."), size), nil},
		"one zero":       {slices.Concat(raw, []byte{0}), nil},
		"other bytes":    {slices.Concat(raw, []byte("other")), []string{RuleTrailingBytes}},
		"garbage inside": {deflate(t, append(slices.Clone(data), "\x13\x00garbage that is long enough"...)), []string{RuleTrailingBytes}},
	} {
		file := part10(deflated, c.file)
		h, err := scanBytes(t, file)
		if err != nil || !slices.Equal(rulesOf(h), c.rules) {
			t.Errorf("%s: %v, findings %v; want %v", name, err, h.Findings, c.rules)
		}
		if len(c.rules) == 0 && name != "one zero" && h.DataSetEnd != int64(len(file)) {
			t.Errorf("%s: data set ends at %d of %d", name, h.DataSetEnd, len(file))
		}
	}
}

func TestScanKeptText(t *testing.T) {
	file := func(patient, date string) []byte {
		c := explicit().el(tagSOPClass, "UI", secondaryCapture).el(tagSOPInstance, "UI", instanceUID)
		c.el(tagStudyDate, "DA", date).head(tagPatientID, "LO", uint32(len(patient))).raw(patient)
		return part10(explicitLE, c.el(tagStudyInstance, "UI", "1.23").el(tagSeriesInstance, "UI", "1.34").image().pixels().b)
	}
	for _, c := range []struct{ patient, date, wantPatient, wantDay, rule string }{
		{" S-01 ", "20240101", "S-01", "2024-01-01", ""},
		{"S-01\x00", "2024.01.31", "S-01", "2024-01-31", RuleOddLength},
		{"", "20230229", "", "", RuleDateInvalid},
		{"A\nB.", "", "", "", RulePatientIDInvalid},
		{strings.Repeat("x", 66), "", "", "", RulePatientIDInvalid},
		{strings.Repeat("x", 600), "", "", "", RulePatientIDInvalid},
		{"M\xFCller", "", "M\uFFFDller", "", ""},
	} {
		h, err := scanBytes(t, file(c.patient, c.date))
		if err != nil {
			t.Fatal(err)
		}
		day := ""
		if h.StudyDateOK {
			day = h.StudyDay.Format(time.DateOnly)
		}
		if h.PatientID != c.wantPatient || day != c.wantDay || strings.Join(rulesOf(h), " ") != c.rule {
			t.Errorf("%q %q: got %q %q %v", c.patient, c.date, h.PatientID, day, h.Findings)
		}
		for _, f := range h.Findings {
			if c.patient != "" && strings.Contains(f.Message, c.patient) {
				t.Errorf("a finding shows the patient id: %s", f.Message)
			}
		}
	}
}

func TestScanCountsRepeatedFindings(t *testing.T) {
	c := explicitIDs()
	for range 1000 {
		c.el(0x00411010, "LO", "abc")
	}
	h, err := scanBytes(t, part10(explicitLE, c.pixels().b))
	if err != nil || len(h.Findings) != 2 {
		t.Fatalf("%v, %d findings", err, len(h.Findings))
	}
	for _, f := range h.Findings {
		if f.Rule == RuleOddLength && (f.Count != 1000 || f.Tag != "(0041,1010)") {
			t.Errorf("%+v", f)
		}
	}
}

func TestScanLimitsCanBeSet(t *testing.T) {
	file := part10(rleTS, explicitIDs().fragments("12", "34", "56").b)
	_, err := Scan(t.Context(), bytes.NewReader(file), int64(len(file)), Limits{Fragments: 3})
	if reason := reasonOf(t, err); reason != ReasonTooManyFragments {
		t.Errorf("four items with a limit of three: %v", err)
	}
	if _, err := Scan(t.Context(), bytes.NewReader(file), int64(len(file)), Limits{Fragments: 4}); err != nil {
		t.Error(err)
	}
}

func TestScanStopsWhenCancelled(t *testing.T) {
	cause := errors.New("the caller left")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	for name, file := range map[string][]byte{
		"elements":  part10(explicitLE, explicit().ids().raw(strings.Repeat("\x11\x00\x01\x10LO\x00\x00", 5000)).b),
		"fragments": part10(rleTS, explicitIDs().fragments(slices.Repeat([]string{"12"}, 5000)...).b),
		"inflating": part10(deflated, deflate(t, explicitIDs().el(0x00411010, "OB", strings.Repeat("ab", 1<<20)).pixels().b)),
	} {
		if _, err := Scan(ctx, bytes.NewReader(file), int64(len(file)), Limits{}); !errors.Is(err, cause) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// failing fails every read from a given offset on.
type failing struct {
	r    io.ReaderAt
	from int64
	err  error
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.from {
		return 0, f.err
	}
	return f.r.ReadAt(p, off)
}

func TestScanReportsReadErrors(t *testing.T) {
	disk := errors.New("input/output error")
	for name, file := range map[string][]byte{
		"head":     part10(explicitLE, explicitIDs().pixels().b),
		"deflated": part10(deflated, deflate(t, explicitIDs().pixels().b)),
	} {
		_, err := Scan(t.Context(), failing{bytes.NewReader(file), 10, disk}, int64(len(file)), Limits{})
		var refusal *Refusal
		if !errors.Is(err, disk) || errors.As(err, &refusal) {
			t.Errorf("%s: %v is not the disk's error", name, err)
		}
	}
	if _, err := Scan(t.Context(), bytes.NewReader(nil), -1, Limits{}); err == nil {
		t.Error("a negative size is accepted")
	}
}

func TestScanFileShorterThanItsSize(t *testing.T) {
	file := part10(explicitLE, explicitIDs().b)
	_, err := Scan(t.Context(), bytes.NewReader(file), int64(len(file))+100, Limits{})
	if err != nil { // what is there is whole up to its end
		t.Errorf("%v", err)
	}
	cut := file[:len(file)-5]
	_, err = Scan(t.Context(), bytes.NewReader(cut), int64(len(file)), Limits{})
	if reason := reasonOf(t, err); reason != ReasonTruncated {
		t.Errorf("%v", err)
	}
}

func TestCheckPreamble(t *testing.T) {
	if err := CheckPreamble(part10(explicitLE, nil)[:132]); err != nil {
		t.Error(err)
	}
	for _, first := range []string{"", "\x1F\x8B" + strings.Repeat("x", 130), strings.Repeat("\x00", 132), "\x08\x00" + strings.Repeat("\x00", 130)} {
		err := CheckPreamble([]byte(first))
		if reason := reasonOf(t, err); reason != ReasonNotPart10 {
			t.Errorf("%q: %v", first, err)
		}
	}
	if err := CheckPreamble([]byte("PK\x03\x04" + strings.Repeat("x", 130))); !strings.Contains(err.Error(), "unpack") {
		t.Errorf("a zip archive is not told so: %v", err)
	}
}

// TestRegistersAreComplete holds that every Reason and Rule constant has its
// sentence.
func TestRegistersAreComplete(t *testing.T) {
	for file, register := range map[string]struct {
		prefix string
		rows   []Explained
	}{"refusal.go": {"Reason", Reasons}, "finding.go": {"Rule", Rules}} {
		var listed []string
		for _, e := range register.rows {
			listed = append(listed, e.ID)
			if !strings.HasSuffix(e.Text, ".") {
				t.Errorf("%s: %q is no sentence", e.ID, e.Text)
			}
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(spec.Names[0].Name, register.prefix) || len(spec.Values) != 1 {
				return true
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
				if id, _ := strconv.Unquote(lit.Value); !slices.Contains(listed, id) {
					t.Errorf("%s is not explained", spec.Names[0].Name)
				}
			}
			return true
		})
	}
}

func TestSequenceList(t *testing.T) {
	for tag, want := range map[Tag]bool{0x0040A730: true, 0x52009230: true, 0x00081140: true, tagPatientID: false, tagPixels: false} {
		if tag.isSequence() != want {
			t.Errorf("%s: %t", tag, !want)
		}
	}
	if n := len(sequenceTags()); n < 1200 {
		t.Errorf("only %d sequences are listed", n)
	}
}

// TestScanProperty builds random nested data sets in all encodings: whole they
// are accepted without a finding about structure, and cut they never reach
// beyond the cut.
func TestScanProperty(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		syntax := rapid.SampledFrom([]string{explicitLE, implicitLE, explicitBE, deflated}).Draw(r, "syntax")
		c := &craft{enc: transferSyntaxes[syntax].enc}
		c.ids().image()
		for i := range rapid.IntRange(0, 4).Draw(r, "sequences") {
			randomSequence(r, c, Tag(0x00400000+0x275+i*0x1000), 3)
		}
		data := c.pixels().b
		if syntax == deflated {
			data = deflate(t, data)
		}
		file := part10(syntax, data)
		h, err := scanBytes(t, file)
		if err != nil || len(h.Findings) > 0 || h.DataSetEnd != int64(len(file)) {
			r.Fatalf("%v, findings %v, end %d of %d", err, h.Findings, h.DataSetEnd, len(file))
		}
		cut := rapid.IntRange(0, len(file)-1).Draw(r, "cut")
		h, err = scanBytes(t, file[:cut])
		if reasonOf(t, err) == "" && len(h.Findings) == 0 {
			r.Fatalf("cut at %d of %d: accepted without a finding", cut, len(file))
		}
	})
}

// randomSequence appends a sequence of text elements and further sequences,
// with stated or undefined lengths.
func randomSequence(r *rapid.T, c *craft, tag Tag, depth int) {
	body := &craft{enc: c.enc}
	for range rapid.IntRange(0, 3).Draw(r, "items") {
		content := &craft{enc: c.enc}
		content.el(0x00080100, "SH", strings.Repeat("ab", rapid.IntRange(0, 8).Draw(r, "text")))
		if depth > 0 && rapid.Bool().Draw(r, "deeper") {
			randomSequence(r, content, 0x0040A730, depth-1)
		}
		if rapid.Bool().Draw(r, "item length") {
			body.item(tagItem, uint32(len(content.b))).raw(string(content.b))
		} else {
			body.item(tagItem, lengthUndefined).raw(string(content.b)).item(tagItemDelimiter, 0)
		}
	}
	if rapid.Bool().Draw(r, "sequence length") {
		c.head(tag, "SQ", uint32(len(body.b))).raw(string(body.b))
	} else {
		c.undefined(tag, "SQ").raw(string(body.b)).item(tagSequenceEnd, 0)
	}
}
