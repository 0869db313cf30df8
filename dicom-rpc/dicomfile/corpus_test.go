package dicomfile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clinsource/internal/corpus"
)

// refusedOnPurpose are files labelled store-* that are refused all the same.
var refusedOnPurpose = map[string]string{
	"odd/bad_sequence.dcm": "its SOP, study and series UIDs are 64 hexadecimal digits, left by a de-identifier that hashed them: " +
		"not UIDs (PS3.5 9.1), so no PACS or EDC could take the object on under them",
}

// fitting gives, for words of the manifest's column why, the reasons that say
// the same to a sender.
var fitting = []struct {
	why     string
	reasons []string
}{
	{"lacks", []string{ReasonUIDMissing}},
	{"SOPInstanceUID in data set", []string{ReasonUIDMissing}},
	{"cut inside the header", []string{ReasonTruncated, ReasonUIDMissing}}, // cut between two elements
	{"cut inside", []string{ReasonTruncated}},
	{"truncated", []string{ReasonTruncated}},
	{"announces", []string{ReasonTruncated, ReasonLengthInvalid}},
	{"depth", []string{ReasonTooDeep}},
	{"not Part", []string{ReasonNotPart10}},
	{"not DICOM", []string{ReasonNotPart10}},
	{"no preamble", []string{ReasonNotPart10}},
	{"zeros", []string{ReasonNotPart10}},
	{"128 bytes", []string{ReasonNotPart10}},
	{"random after", []string{ReasonMetaInvalid, ReasonTransferSyntaxMissing}},
	{"random", []string{ReasonNotPart10}},
	{"no TransferSyntaxUID", []string{ReasonTransferSyntaxMissing}},
	{"private transfer syntax", []string{ReasonTransferSyntaxUnknown}},
	{"UID of", []string{ReasonUIDInvalid}},
	{"path traversal", []string{ReasonUIDInvalid}},
	{"Media Storage Directory", []string{ReasonClassNotStored}},
}

// TestCorpus holds the scan against every foreign file and its label.
func TestCorpus(t *testing.T) {
	dir := corpus.Shared(t, "corpus", "dicom")
	type tally struct{ accepted, refused, withFinding int }
	counts := map[string]*tally{}
	for _, row := range corpus.Table(t, filepath.Join(dir, "MANIFEST.tsv")) {
		label := row["expected"]
		if counts[label] == nil {
			counts[label] = &tally{}
		}
		t.Run(row["file"], func(t *testing.T) {
			h, err := scanFile(t, filepath.Join(dir, row["file"]))
			var refusal *Refusal
			if err != nil && !errors.As(err, &refusal) {
				t.Fatalf("not a refusal: %v", err)
			}
			if refusal != nil {
				counts[label].refused++
			} else {
				counts[label].accepted++
			}
			if refusal == nil && len(h.Findings) > 0 {
				counts[label].withFinding++
			}
			checkLabel(t, row, h, refusal)
		})
	}
	for label, c := range counts {
		t.Logf("%-20s accepted %3d (with findings %2d), refused %2d", label, c.accepted, c.withFinding, c.refused)
	}
}

func checkLabel(t *testing.T, row map[string]string, h Header, refusal *Refusal) {
	t.Helper()
	label := row["expected"]
	_, onPurpose := refusedOnPurpose[row["file"]]
	switch {
	case label == "any":
	case label == "valid" || strings.HasPrefix(label, "store-"):
		if onPurpose != (refusal != nil) {
			t.Errorf("label %s: %v", label, refusal)
		}
		if label != "valid" && refusal == nil && len(h.Findings) == 0 {
			t.Errorf("label %s, but no finding; why: %s", label, row["why"])
		}
	case refusal == nil:
		t.Errorf("label %s, but accepted with %v; why: %s", label, h.Findings, row["why"])
	default:
		checkReason(t, row, refusal)
	}
}

func checkReason(t *testing.T, row map[string]string, refusal *Refusal) {
	t.Helper()
	if magic(t, row) != "DICM" { // whatever else is wrong, this comes first
		if refusal.Reason != ReasonNotPart10 {
			t.Errorf("no DICM, and refused as %v", refusal)
		}
		return
	}
	for _, f := range fitting {
		if strings.Contains(row["why"], f.why) {
			if !slices.Contains(f.reasons, refusal.Reason) {
				t.Errorf("why %q, refused as %v", row["why"], refusal)
			}
			return
		}
	}
	t.Errorf("no fitting reason is listed for %q; refused as %v", row["why"], refusal)
}

func magic(t *testing.T, row map[string]string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(corpus.Shared(t, "corpus", "dicom"), row["file"]))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < PreambleSize {
		return ""
	}
	return string(b[128:PreambleSize])
}

func scanFile(t *testing.T, path string) (Header, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return Scan(t.Context(), f, info.Size(), Limits{})
}

// TestCorpusCut cuts each stored file at many places: wherever an image is cut
// before its last element ends, it must not be taken for whole.
func TestCorpusCut(t *testing.T) {
	dir := corpus.Shared(t, "corpus", "dicom")
	for _, row := range corpus.Table(t, filepath.Join(dir, "MANIFEST.tsv")) {
		if row["expected"] != "valid" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, row["file"]))
		if err != nil {
			t.Fatal(err)
		}
		whole, err := scanBytes(t, b)
		if err != nil {
			t.Fatalf("%s: %v", row["file"], err)
		}
		for i := int64(1); i <= 64; i++ {
			cut := whole.DataSetEnd * i / 65
			h, err := scanBytes(t, b[:cut])
			var refusal *Refusal
			switch {
			case errors.As(err, &refusal):
				if refusal.Offset < 0 || refusal.Offset > cut {
					t.Errorf("%s cut at %d: offset %d", row["file"], cut, refusal.Offset)
				}
			case err != nil:
				t.Errorf("%s cut at %d: %v", row["file"], cut, err)
			case h.DataSetEnd > cut:
				t.Errorf("%s cut at %d: accepted to %d", row["file"], cut, h.DataSetEnd)
			case imageClass(whole.SOPClassUID) && len(h.Findings) == 0:
				t.Errorf("%s cut at %d of %d: accepted without a finding", row["file"], cut, whole.DataSetEnd)
			}
		}
	}
}
