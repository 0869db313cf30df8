package scenario

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/internal/corpus"
	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

// verdict is what became of an image, whichever way it was sent.
type verdict struct {
	status   string // "201", "400", or a gRPC code.
	created  bool
	id       string // Empty if it was refused.
	sha256   string
	size     int64
	findings []string // Rule ids.
	reason   string   // Of a refusal.
	rules    []string // Of a refusal.
}

func (v verdict) stored() bool { return v.id != "" }

// refusedAs says whether it is a refusal of the bytes that names a rule.
func (v verdict) refusedAs(status string) bool {
	named := len(v.rules) > 0 && !slices.ContainsFunc(v.rules, func(rule string) bool { return !strings.HasPrefix(rule, "dicom.") })
	return !v.stored() && v.status == status && v.reason == fault.ReasonImageRefused && named
}

// sender is a way of sending images, as a user of the project.
type sender struct {
	name    string
	refusal string // The status of a refusal.
	send    func(t testing.TB, patient string, body io.Reader, size int64) verdict
	receive func(t testing.TB, patient, image string, to io.Writer) *dicompb.Image
}

// streamFor bounds one up- or download of a test.
const streamFor = 5 * time.Minute

// senders gives all ways into the project: HTTP/2 with Content-Length, HTTP/1.1
// in chunks, and gRPC with a partner's certificate.
func (w *world) senders(t testing.TB) []sender {
	t.Helper()
	user := w.as(t, "investigator")
	one := &api{token: user.token, http: &http.Client{Transport: firstHTTP()}}
	client := dicompb.NewDicomServiceClient(dial(t, "dicom-rpc", "127.0.0.1:9102", "partner"))
	return []sender{
		{"HTTP", "400",
			func(t testing.TB, patient string, body io.Reader, size int64) verdict {
				return user.putImage(t, w.path+"/subjects/"+patient+"/images", body, size, "HTTP/2.0")
			},
			func(t testing.TB, patient, image string, to io.Writer) *dicompb.Image {
				return user.getImage(t, w.path+"/subjects/"+patient+"/images/"+image, to)
			}},
		{"HTTP chunked", "400",
			func(t testing.TB, patient string, body io.Reader, _ int64) verdict {
				return one.putImage(t, w.path+"/subjects/"+patient+"/images", body, -1, "HTTP/1.1")
			},
			func(t testing.TB, patient, image string, to io.Writer) *dicompb.Image {
				return one.getImage(t, w.path+"/subjects/"+patient+"/images/"+image, to)
			}},
		{"gRPC", codes.InvalidArgument.String(),
			func(t testing.TB, patient string, body io.Reader, _ int64) verdict {
				info := &dicompb.FileInfo{PatientId: patient, ProjectId: w.project}
				return uploadOverGRPC(authorized(deadline(t, streamFor), user.token), t, client, info, body)
			},
			func(t testing.TB, patient, image string, to io.Writer) *dicompb.Image {
				in := &dicompb.DownloadDicomRequest{ImageId: image, PatientId: patient, ProjectId: w.project}
				return downloadOverGRPC(authorized(deadline(t, streamFor), user.token), t, client, in, to)
			}},
	}
}

// firstHTTP is transport without HTTP/2: only HTTP/1.1 has chunked bodies.
var firstHTTP = sync.OnceValue(func() *http.Transport {
	only := transport().Clone()
	only.ForceAttemptHTTP2, only.TLSNextProto = false, nil
	only.Protocols = new(http.Protocols)
	only.Protocols.SetHTTP1(true)
	only.TLSClientConfig.NextProtos = nil
	return only
})

// putImage sends one; size -1 is unknown.
func (a *api) putImage(t testing.TB, path string, body io.Reader, size int64, proto string) verdict {
	t.Helper()
	req, err := http.NewRequestWithContext(deadline(t, streamFor), http.MethodPut, gatewayURL+path, io.NopCloser(body))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("Content-Type", "application/dicom")
	resp, err := a.http.Do(req)
	if err != nil {
		t.Errorf("PUT an image: %v", err)
		return verdict{status: "none"}
	}
	defer resp.Body.Close()
	if resp.Proto != proto {
		t.Errorf("spoke %s, not %s", resp.Proto, proto)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("the answer to an image: %v", err)
	}
	return verdictOf(t, reply{status: resp.StatusCode, header: resp.Header, body: data})
}

// verdictOf reads the gateway's answer to an image.
func verdictOf(t testing.TB, r reply) verdict {
	t.Helper()
	v := verdict{status: fmt.Sprint(r.status)}
	if r.status >= 400 {
		v.reason = r.problem(t)
		for _, e := range r.object(t)["errors"].([]any) {
			v.rules = append(v.rules, fmt.Sprint(e.(object)["rule"]))
		}
		return v
	}
	o := r.object(t)
	v.id, v.sha256 = fmt.Sprint(o["image_id"]), fmt.Sprint(o["sha256"])
	v.created, _ = o["created"].(bool)
	if _, err := fmt.Sscan(fmt.Sprint(o["size"]), &v.size); err != nil {
		t.Errorf("size %v: %v", o["size"], err)
	}
	findings, _ := o["findings"].([]any)
	for _, f := range findings {
		v.findings = append(v.findings, fmt.Sprint(f.(object)["rule_id"]))
	}
	if v.created != (r.status == http.StatusCreated) {
		t.Errorf("status %d with created %v", r.status, v.created)
	}
	return v
}

// getImage downloads one and checks what the headers say of it.
func (a *api) getImage(t testing.TB, path string, to io.Writer) *dicompb.Image {
	t.Helper()
	req, err := http.NewRequestWithContext(deadline(t, streamFor), http.MethodGet, gatewayURL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := a.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("status %d for an image that was acknowledged", resp.StatusCode)
	}
	sum, n := copySummed(t, to, resp.Body)
	raw, _ := hex.DecodeString(sum)
	for name, want := range map[string]string{
		"Content-Type":   "application/dicom",
		"Content-Length": fmt.Sprint(n),
		"ETag":           `"` + sum + `"`,
		"Content-Digest": "sha-256=:" + base64.StdEncoding.EncodeToString(raw) + ":",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s is %q, the bytes say %q", name, got, want)
		}
	}
	return &dicompb.Image{Size: uint64(n), Sha256: sum}
}

// copySummed copies and gives the digest and the number of bytes.
func copySummed(t testing.TB, to io.Writer, from io.Reader) (sum string, n int64) {
	t.Helper()
	digest := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, digest), from)
	if err != nil {
		t.Errorf("after %d bytes: %v", n, err)
	}
	return hex.EncodeToString(digest.Sum(nil)), n
}

// uploadOverGRPC sends info and then the chunks. When Send fails the service has
// answered already; its status waits in CloseAndRecv.
func uploadOverGRPC(ctx context.Context, t testing.TB, client dicompb.DicomServiceClient, info *dicompb.FileInfo, body io.Reader) verdict {
	t.Helper()
	stream, err := client.UploadDicom(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Info{Info: info}})
	for buffer := make([]byte, 256<<10); err == nil; {
		var n int
		n, err = io.ReadFull(body, buffer)
		if n == 0 {
			break
		}
		msg := &dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Chunk{Chunk: buffer[:n]}}
		if failed := stream.Send(msg); failed != nil {
			break
		}
	}
	out, err := stream.CloseAndRecv()
	if err != nil {
		f := fault.From(err)
		v := verdict{status: f.Code.String(), reason: f.Reason}
		for _, violation := range f.Violations {
			v.rules = append(v.rules, violation.Rule)
		}
		return v
	}
	if !out.GetSuccess() || out.GetRecordId() != out.GetImageId() || out.GetVersion() != 1 {
		t.Errorf("an odd answer: success %v, version %d, ids %s and %s", out.GetSuccess(), out.GetVersion(), out.GetRecordId(), out.GetImageId())
	}
	v := verdict{status: codes.OK.String(), created: out.GetCreated(), id: out.GetImageId(), sha256: out.GetSha256(), size: int64(out.GetSize())}
	for _, f := range out.GetFindings() {
		v.findings = append(v.findings, f.GetRuleId())
	}
	return v
}

// downloadOverGRPC reads the record and then the chunks; the record it gives has
// the size and the digest of what came.
func downloadOverGRPC(ctx context.Context, t testing.TB, client dicompb.DicomServiceClient, in *dicompb.DownloadDicomRequest, to io.Writer) *dicompb.Image {
	t.Helper()
	stream, err := client.DownloadDicom(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil || first.GetImage() == nil {
		t.Fatalf("the first message holds no record: %v", err)
	}
	digest := sha256.New()
	came := &dicompb.Image{}
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", came.GetSize(), err)
		}
		digest.Write(msg.GetChunk())
		_, _ = to.Write(msg.GetChunk())
		came.Size += uint64(len(msg.GetChunk()))
	}
	came.Sha256 = hex.EncodeToString(digest.Sum(nil))
	if record := first.GetImage(); record.GetSize() != came.GetSize() || record.GetSha256() != came.GetSha256() {
		t.Errorf("the record says %d bytes, %s; %d came, %s", record.GetSize(), record.GetSha256(), came.GetSize(), came.GetSha256())
	}
	return came
}

// refusedWithReason are files labelled store-* that are refused all the same.
var refusedWithReason = map[string]string{
	"odd/bad_sequence.dcm": "its SOP, study and series UIDs are 64 hexadecimal digits, left by a de-identifier: not UIDs (PS3.5 9.1), " +
		"so no PACS could take the object on under them",
}

// rulesByLabel is the rule that a refusal names, for the labels that say what is
// wrong; "invalid" may be anything.
var rulesByLabel = map[string][]string{
	"parse-ok-reject-ids": {dicomfile.ReasonUIDMissing},
	"reject-class":        {dicomfile.ReasonClassNotStored},
}

// wantsStored says what the manifest's label asks for; free is either.
func wantsStored(row map[string]string) (stored, free bool) {
	label := row["expected"]
	_, refused := refusedWithReason[row["file"]]
	return (label == "valid" || strings.HasPrefix(label, "store-")) && !refused, label == "any"
}

// aboutTheFile are the findings that are about the file itself, not about whose
// it is or what else was sent.
func aboutTheFile(findings []string) []string {
	return slices.DeleteFunc(slices.Clone(findings), func(rule string) bool {
		return rule == "dicom.patient_differs" || rule == "dicom.sop_instance_reused"
	})
}

// Every foreign file ends as its label says, whichever way it comes, and what is
// stored comes back bit by bit. Each way has a subject of its own, and the next
// way sends the same again.
func TestCorpusImages(t *testing.T) {
	dir := corpus.Shared(t, "corpus", "dicom")
	w := newWorld(t)
	ways := w.senders(t)
	idle := idleSizes(t)
	if theSuite.containers == nil { // Behind a balancer a killed replica is away for longer than this story waits.
		idle = restarted(t, w, ways) // What the stories before left in the heap is not idle.
	}
	before := theSuite.pids(t)
	resetPeaks(t)
	subjects, stored := make([]string, len(ways)), make([]map[string]bool, len(ways))
	for i := range ways {
		subjects[i], _ = w.subject(t, "s1")
		stored[i] = map[string]bool{}
	}
	counts, rules := map[string]int{}, map[string]int{}
	for _, row := range corpus.Table(t, filepath.Join(dir, "MANIFEST.tsv")) {
		t.Run(row["file"], func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, row["file"]))
			if err != nil {
				t.Fatal(err)
			}
			for i, way := range ways {
				v := way.send(t, subjects[i], bytes.NewReader(data), int64(len(data)))
				checkLabelled(t, row, way, v)
				checkRule(t, row, data, v)
				counts[fmt.Sprintf("%s stored=%v", row["expected"], v.stored())]++
				if !v.stored() {
					rules[strings.Join(v.rules, ",")]++
					continue
				}
				checkStored(t, row, data, v)
				if v.created == stored[i][v.id] {
					t.Errorf("%s: created %v, but sent before under another name: %v", way.name, v.created, stored[i][v.id])
				}
				stored[i][v.id] = true
				checkReturns(t, ways, subjects[i], v)
				again := ways[(i+1)%len(ways)].send(t, subjects[i], bytes.NewReader(data), int64(len(data)))
				if again.id != v.id || again.created || !slices.Equal(again.findings, v.findings) {
					t.Errorf("%s, the same bytes again: %+v after %+v", way.name, again, v)
				}
			}
		})
	}
	for i, way := range ways {
		if listed := imageIDs(t, w.admin, w.path+"/subjects/"+subjects[i]); !sameIDs(listed, stored[i]) {
			t.Errorf("%s: %d images are listed, %d were acknowledged", way.name, len(listed), len(stored[i]))
		}
	}
	if after := theSuite.pids(t); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("a process has died: %v before, %v after", before, after)
	}
	checkPeaks(t, "the corpus", idle, 1)
	t.Logf("ends: %v", counts)
	t.Logf("rules of the refusals: %v", rules)
}

// checkLabelled compares a verdict with the label of the manifest.
func checkLabelled(t *testing.T, row map[string]string, way sender, v verdict) {
	t.Helper()
	want, free := wantsStored(row)
	label := row["expected"]
	switch {
	case v.stored() != want && !free:
		t.Errorf("%s: label %s, but %+v; why: %s", way.name, label, v, row["why"])
	case !v.stored() && !v.refusedAs(way.refusal):
		t.Errorf("%s: refused without its reason: %+v", way.name, v)
	case v.stored() && strings.HasPrefix(label, "store-") && len(aboutTheFile(v.findings)) == 0:
		t.Errorf("%s: label %s, but no finding is about the file: %v; why: %s", way.name, label, v.findings, row["why"])
	}
}

// checkRule compares the rule of a refusal with what the label says is wrong.
func checkRule(t *testing.T, row map[string]string, data []byte, v verdict) {
	t.Helper()
	want := rulesByLabel[row["expected"]]
	if len(data) < dicomfile.PreambleSize || string(data[dicomfile.PreambleSize-4:dicomfile.PreambleSize]) != "DICM" {
		want = []string{dicomfile.ReasonNotPart10} // Whatever else is wrong, this comes first.
	}
	if !v.stored() && want != nil && !slices.Equal(v.rules, want) {
		t.Errorf("label %s, refused as %v, want %v; why: %s", row["expected"], v.rules, want, row["why"])
	}
}

// checkStored checks an answer against the bytes that were sent. The corpus
// knows none of our subjects: whoever its headers name is somebody else.
func checkStored(t *testing.T, row map[string]string, data []byte, v verdict) {
	t.Helper()
	sum := sha256.Sum256(data)
	if v.sha256 != hex.EncodeToString(sum[:]) || v.sha256 != row["sha256"] || v.size != int64(len(data)) {
		t.Errorf("sent %d bytes with %s, answered %+v", len(data), row["sha256"], v)
	}
	header, err := dicomfile.Scan(t.Context(), bytes.NewReader(data), int64(len(data)), dicomfile.Limits{})
	if err != nil {
		t.Fatalf("the scanner by itself refuses what the service stored: %v", err)
	}
	if flagged := slices.Contains(v.findings, "dicom.patient_differs"); flagged != (header.PatientID != "") {
		t.Errorf("the header names a patient: %v, a finding says so: %v", header.PatientID != "", flagged)
	}
}

// checkReturns downloads an image every way; senders' receive compares the
// record and the headers with the bytes.
func checkReturns(t *testing.T, ways []sender, patient string, v verdict) {
	t.Helper()
	for _, way := range ways {
		if came := way.receive(t, patient, v.id, io.Discard); came.GetSha256() != v.sha256 || int64(came.GetSize()) != v.size {
			t.Errorf("%s: %d bytes with %s come back, %d with %s were stored", way.name, came.GetSize(), came.GetSha256(), v.size, v.sha256)
		}
	}
}

// imageIDs lists all images of a subject, page by page, and checks that none is
// listed twice.
func imageIDs(t testing.TB, a *api, subject string) []string {
	t.Helper()
	var ids []string
	for token := ""; ; {
		o := a.get(t, subject+"/images?page_size=50&page_token="+token).want(t, 200)
		images, _ := o["images"].([]any)
		for _, image := range images {
			ids = append(ids, image.(object)["image_id"].(string))
		}
		token, _ = o["next_page_token"].(string)
		if token == "" {
			slices.Sort(ids)
			return ids
		}
	}
}

func sameIDs(listed []string, want map[string]bool) bool {
	return len(listed) == len(want) && !slices.ContainsFunc(listed, func(id string) bool { return !want[id] })
}

// The patient of the URL, or of FileInfo, wins over the header's, which is then
// flagged; without them the header's counts.
func TestWhoseImage(t *testing.T) {
	w := newWorld(t)
	owner, ownerPath := w.subject(t, "s1")
	other, otherPath := w.subject(t, "s1")
	var file bytes.Buffer
	if _, err := dicomfile.WriteSynthetic(&file, dicomfile.SyntheticSpec{PatientID: owner, Rows: 16, Columns: 16}); err != nil {
		t.Fatal(err)
	}
	for _, way := range w.senders(t) {
		v := way.send(t, other, bytes.NewReader(file.Bytes()), int64(file.Len()))
		if !v.stored() || !slices.Contains(v.findings, "dicom.patient_differs") {
			t.Errorf("%s: for another than the header's patient: %+v", way.name, v)
		}
	}
	client := dicompb.NewDicomServiceClient(dial(t, "dicom-rpc", "127.0.0.1:9102", "partner"))
	ctx := authorized(deadline(t, time.Minute), w.as(t, "investigator").token)
	v := uploadOverGRPC(ctx, t, client, &dicompb.FileInfo{FileName: "a.dcm", FileType: "dcm"}, bytes.NewReader(file.Bytes()))
	if !v.created || slices.Contains(v.findings, "dicom.patient_differs") {
		t.Errorf("by the header alone: %+v", v)
	}
	if ids := imageIDs(t, w.admin, ownerPath); !slices.Equal(ids, []string{v.id}) {
		t.Errorf("the header's patient has %v, not %s", ids, v.id)
	}
	if ids := imageIDs(t, w.admin, otherPath); len(ids) != 1 || ids[0] == v.id {
		t.Errorf("the other patient has %v, one image was sent for them", ids)
	}
}
