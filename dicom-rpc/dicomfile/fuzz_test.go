package dicomfile

import (
	"bytes"
	"errors"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzScan holds what must be true of a scan of any bytes: it ends, allocates
// little, refuses with an explained reason and an offset in the file, and what
// it accepts has well-formed identifiers.
func FuzzScan(f *testing.F) {
	for _, file := range [][]byte{
		part10(explicitLE, explicit().ids().image().undefined(0x00400275, "SQ").item(tagItem, lengthUndefined).
			el(0x00400007, "LO", "A ").item(tagItemDelimiter, 0).item(tagSequenceEnd, 0).pixels().b),
		part10(implicitLE, implicit().ids().image().el(0x00411010, "", string(implicit().item(tagItem, 10).el(0x00080100, "SH", "A ").b)).pixels().b),
		part10(explicitBE, bigCraft().ids().image().pixels().raw("tail").b),
		part10(deflated, deflate(f, explicit().ids().image().pixels().b)),
		part10(rleTS, explicit().ids().image().fragments("1234", "5678").b),
		part10(j2kTS, explicit().ids().image().fragments(j2kFrame(0x0B)).b),
		part10(explicitLE, explicit().ids().undefined(0x00411010, "UN").item(tagItem, 0).item(tagSequenceEnd, 0).b),
	} {
		f.Add(file)
	}
	f.Fuzz(fuzzOne)
}

// FuzzDataSet is FuzzScan behind valid meta information and identifiers, so
// that the fuzzer spends its time in the walk.
func FuzzDataSet(f *testing.F) {
	syntaxes := []string{explicitLE, implicitLE, explicitBE, rleTS, j2kTS, deflated}
	f.Add(byte(0), explicit().undefined(0x00400275, "SQ").item(tagItem, lengthUndefined).el(0x00400007, "LO", "A ").
		item(tagItemDelimiter, 0).item(tagSequenceEnd, 0).pixels().b)
	f.Add(byte(1), implicit().el(0x00411010, "", string(implicit().item(tagItem, 10).el(0x00080100, "SH", "A ").b)).pixels().b)
	f.Add(byte(2), bigCraft().head(0x00400275, "SQ", 8).item(tagItem, 0).pixels().raw("tail").b)
	f.Add(byte(3), explicit().fragments("1234", "5678").b)
	f.Add(byte(4), explicit().fragments(j2kFrame(0x0B)).b)
	f.Add(byte(5), explicit().undefined(0x00411010, "UN").item(tagItem, 0).item(tagSequenceEnd, 0).b)
	f.Fuzz(func(t *testing.T, n byte, data []byte) {
		syntax := syntaxes[int(n)%len(syntaxes)]
		c := &craft{enc: transferSyntaxes[syntax].enc}
		data = append(c.ids().image().b, data...)
		if syntax == deflated {
			data = deflate(t, data)
		}
		fuzzOne(t, part10(syntax, data))
	})
}

func fuzzOne(t *testing.T, file []byte) {
	var h Header
	var err error
	start := time.Now()
	bytes := allocated(func() { h, err = Scan(t.Context(), bytes.NewReader(file), int64(len(file)), Limits{}) })
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("%v for %d bytes", took, len(file))
	}
	if bytes > 4<<20 {
		t.Errorf("%d bytes allocated for a file of %d", bytes, len(file))
	}
	checkInvariants(t, h, err, int64(len(file)))
}

func checkInvariants(t *testing.T, h Header, err error, size int64) {
	t.Helper()
	var refusal *Refusal
	if err != nil && !errors.As(err, &refusal) {
		t.Fatalf("not a refusal: %v", err)
	}
	if refusal != nil {
		if !explained(Reasons, refusal.Reason) || refusal.Offset < 0 || refusal.Offset > size {
			t.Errorf("%+v in a file of %d bytes", refusal, size)
		}
	} else {
		if !validUID(h.SOPClassUID) || !validUID(h.SOPInstanceUID) || !validUID(h.StudyInstanceUID) || !validUID(h.SeriesInstanceUID) {
			t.Errorf("accepted with UIDs %q %q %q %q", h.SOPClassUID, h.SOPInstanceUID, h.StudyInstanceUID, h.SeriesInstanceUID)
		}
		if h.DataSetEnd < PreambleSize || h.DataSetEnd > size {
			t.Errorf("the data set ends at %d of %d", h.DataSetEnd, size)
		}
	}
	for _, finding := range h.Findings {
		if !explained(Rules, finding.Rule) || finding.Count < 1 || finding.Offset < 0 || finding.Offset > size || !utf8.ValidString(finding.Message) {
			t.Errorf("%+v in a file of %d bytes", finding, size)
		}
	}
	if len(h.Findings) > len(Rules) || !utf8.ValidString(h.PatientID+h.Modality+h.StudyDate) || len(h.PatientID) > 4*64 {
		t.Errorf("%d findings, patient id of %d bytes", len(h.Findings), len(h.PatientID))
	}
}

func explained(register []Explained, id string) bool {
	for _, e := range register {
		if e.ID == id {
			return true
		}
	}
	return false
}
