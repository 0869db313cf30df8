package logic_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"clinsource/internal/corpus"
	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

// refusedOnPurpose are files labelled store-* that are refused all the same; why
// is written in dicomfile's test of the corpus.
var refusedOnPurpose = map[string]bool{"odd/bad_sequence.dcm": true}

// TestCorpus sends every foreign file: each ends as its label says, what is
// stored comes back bit-identical, and of what is refused nothing is left.
func TestCorpus(t *testing.T) {
	dir := corpus.Shared(t, "corpus", "dicom")
	f := open(t)
	images := map[string]bool{}
	for _, row := range corpus.Table(t, filepath.Join(dir, "MANIFEST.tsv")) {
		t.Run(row["file"], func(t *testing.T) {
			file, err := os.ReadFile(filepath.Join(dir, row["file"]))
			check(t, err)
			resp, err := f.upload(within(t), &dicompb.FileInfo{PatientId: "s-01", FileName: row["file"]}, file)
			label := row["expected"]
			stored := label == "valid" || strings.HasPrefix(label, "store-")
			switch {
			case label != "any" && (stored && !refusedOnPurpose[row["file"]]) != (err == nil):
				t.Fatalf("label %s: %v", label, err)
			case err != nil:
				wantReason(t, err)
				return
			case strings.HasPrefix(label, "store-") && len(resp.GetFindings()) == 0:
				t.Errorf("label %s, but no finding", label)
			}
			images[resp.GetImageId()] = true
			_, back, err := f.download(within(t), &dicompb.DownloadDicomRequest{ImageId: resp.GetImageId()})
			if err != nil || !bytes.Equal(back, file) {
				t.Errorf("%d bytes back of %d, %v", len(back), len(file), err)
			}
		})
	}
	f.wantImages(t, len(images))
}

func wantReason(t *testing.T, err error) {
	t.Helper()
	got := fault.From(err)
	if got.Code != codes.InvalidArgument || got.Reason != fault.ReasonImageRefused ||
		len(got.Violations) != 1 || !strings.HasPrefix(got.Violations[0].Rule, "dicom.") || got.Violations[0].Message == "" {
		t.Errorf("refused without a reason: %v, %v", err, got.Violations)
	}
}
