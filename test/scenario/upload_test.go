package scenario

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

// synthetic gives the bytes of a small valid image that no test has sent yet.
func synthetic(t testing.TB, spec dicomfile.SyntheticSpec) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := dicomfile.WriteSynthetic(&out, spec); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// imageFiles gives the path of every file of images that dicom-rpc has, those of
// uploads under way included.
func imageFiles(t testing.TB) []string {
	t.Helper()
	root := filepath.Join(theSuite.folder("dicom-rpc"), "images")
	var files []string
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && path != "lock" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// nothingLeft checks that within a moment the files are those of before and the
// images acknowledged since, each at its place.
func nothingLeft(t *testing.T, before []string, acknowledged ...string) {
	t.Helper()
	want := slices.Clone(before)
	for _, id := range acknowledged {
		want = append(want, id[len(id)-2:]+"/"+id)
	}
	slices.Sort(want)
	eventually(t, 5*time.Second, func() error {
		if files := imageFiles(t); !slices.Equal(files, want) {
			return fmt.Errorf("%d files of images, %d are acknowledged: %v",
				len(files), len(want), slices.DeleteFunc(files, func(f string) bool { return slices.Contains(want, f) }))
		}
		return nil
	})
}

// underWay waits until dicom-rpc has begun to write an upload.
func underWay(t *testing.T) {
	t.Helper()
	eventually(t, 5*time.Second, func() error {
		for _, file := range imageFiles(t) {
			if strings.HasPrefix(file, "incoming/") {
				return nil
			}
		}
		return fmt.Errorf("no upload is under way")
	})
}

// clinctlUpload runs the command line and gives the rows of its table, by file.
func clinctlUpload(t *testing.T, w *world, patient string, files ...string) (rows map[string][]string, stderr string, status int) {
	t.Helper()
	c := exec.Command("bin/clinctl", append([]string{"upload", "--project", w.project, "--patient", patient}, files...)...)
	c.Env = append(os.Environ(), "CLINSOURCE_TOKEN="+w.as(t, "coordinator", "--site", "s1").token)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(files)+1 || !slices.Equal(strings.Fields(lines[0]), []string{"FILE", "BYTES", "RESULT", "IMAGE", "ID", "FINDINGS"}) {
		t.Fatalf("not a table of %d files:\n%s", len(files), out.String())
	}
	rows = map[string][]string{}
	for i, line := range lines[1:] {
		row := strings.Fields(line)
		if row[0] != files[i] {
			t.Errorf("line %d is about %s, not %s", i+1, row[0], files[i])
		}
		rows[files[i]] = row[1:]
	}
	return rows, errs.String(), c.ProcessState.ExitCode()
}

// The command line sends what it can, says of each file what became of it, and
// its exit status tells whether all came through.
func TestClinctlUpload(t *testing.T) {
	w := newWorld(t)
	patient, path := w.subject(t, "s1")
	before, dir := imageFiles(t), t.TempDir()
	good, bad, missing, second := filepath.Join(dir, "good.dcm"), filepath.Join(dir, "bad.dcm"), filepath.Join(dir, "missing.dcm"), filepath.Join(dir, "second.dcm")
	image := synthetic(t, dicomfile.SyntheticSpec{PatientID: patient})
	for file, data := range map[string][]byte{good: image, bad: image[:len(image)/2], second: synthetic(t, dicomfile.SyntheticSpec{PatientID: patient})} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rows, stderr, status := clinctlUpload(t, w, patient, bad, missing, good)
	if status == 0 || !strings.Contains(stderr, "2 of 3 files were not stored") {
		t.Errorf("status %d with two files refused: %s", status, stderr)
	}
	if row := strings.Join(rows[bad], " "); !strings.Contains(row, "NOT STORED: 400 IMAGE_REFUSED") || strings.Contains(row, patient) {
		t.Errorf("the bad one: %s", row)
	}
	if row := strings.Join(rows[missing], " "); !strings.Contains(row, "NOT STORED: ") || !strings.Contains(row, "no such file") {
		t.Errorf("the missing one: %s", row)
	}
	if row := rows[good]; len(row) < 3 || row[0] != fmt.Sprint(len(image)) || row[1] != "stored" {
		t.Fatalf("the good one: %v", row)
	}
	id := rows[good][2]
	rows, stderr, status = clinctlUpload(t, w, patient, good, second)
	if status != 0 || stderr != "" {
		t.Errorf("status %d when all came through, and without a terminal it says %q", status, stderr)
	}
	if again := strings.Join(rows[good], " "); !strings.Contains(again, "there already "+id) {
		t.Errorf("the good one again: %s", again)
	}
	ids := []string{id, rows[second][2]}
	if listed := imageIDs(t, w.admin, path); !slices.Equal(listed, slices.Sorted(slices.Values(ids))) {
		t.Errorf("listed are %v, stored were %v", listed, ids)
	}
	nothingLeft(t, before, ids...)
}

// rawPut sends the head of a PUT over HTTP/1.1, and as much of a body as given.
func rawPut(t testing.TB, path, token string, body []byte, header ...string) *tls.Conn {
	t.Helper()
	config := transport().TLSClientConfig.Clone()
	config.NextProtos = []string{"http/1.1"}
	d := tls.Dialer{Config: config}
	conn, err := d.DialContext(t.Context(), "tcp", gatewayAddr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	head := "PUT " + path + " HTTP/1.1\r\nHost: " + gatewayAddr + "\r\n"
	if token != "" {
		head += "Authorization: Bearer " + token + "\r\n"
	}
	head += strings.Join(header, "\r\n") + "\r\n\r\n"
	if _, err := conn.Write(append([]byte(head), body...)); err != nil {
		t.Fatal(err)
	}
	return conn.(*tls.Conn)
}

// answerWithin reads what the gateway answers on a connection.
func answerWithin(t *testing.T, conn *tls.Conn, d time.Duration) reply {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(d))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer within %v: %v", d, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: data}
}

// interruptions are the ways in which a sender can leave in the middle. Each
// begins an upload of data, which is cut short, and gives the cut.
var interruptions = map[string]func(t *testing.T, w *world, patient string, data []byte) (cut func()){
	"HTTP/1.1 with length": func(t *testing.T, w *world, patient string, data []byte) func() {
		conn := rawPut(t, w.path+"/subjects/"+patient+"/images", w.admin.token, data, fmt.Sprintf("Content-Length: %d", 2*len(data)))
		return func() { _ = conn.Close() }
	},
	"HTTP/1.1 chunked": func(t *testing.T, w *world, patient string, data []byte) func() {
		chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", len(data), data)
		conn := rawPut(t, w.path+"/subjects/"+patient+"/images", w.admin.token, chunk, "Transfer-Encoding: chunked")
		return func() { _ = conn.Close() }
	},
	"HTTP/2": func(t *testing.T, w *world, patient string, data []byte) func() {
		ctx, cancel := context.WithCancel(t.Context())
		r, body := io.Pipe()
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, gatewayURL+w.path+"/subjects/"+patient+"/images", r)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+w.admin.token)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if resp, err := w.admin.http.Do(req); err == nil {
				t.Errorf("an answer %d before the body ended", resp.StatusCode)
				_ = resp.Body.Close()
			}
		}()
		if _, err := body.Write(data); err != nil {
			t.Error(err)
		}
		return func() { cancel(); <-done }
	},
	"gRPC": func(t *testing.T, w *world, patient string, data []byte) func() {
		ctx, cancel := context.WithCancel(authorized(t.Context(), w.admin.token))
		stream := openUpload(t, ctx, &dicompb.FileInfo{PatientId: patient})
		for chunk := range slices.Chunk(data, 256<<10) {
			if err := stream.Send(&dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Chunk{Chunk: chunk}}); err != nil {
				t.Error(err)
			}
		}
		return cancel
	},
}

func openUpload(t *testing.T, ctx context.Context, info *dicompb.FileInfo) grpc.ClientStreamingClient[dicompb.UploadDicomRequest, dicompb.UploadDicomResponse] {
	t.Helper()
	client := dicompb.NewDicomServiceClient(dial(t, "dicom-rpc", "127.0.0.1:9102", "partner"))
	stream, err := client.UploadDicom(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Info{Info: info}}); err != nil {
		t.Fatal(err)
	}
	return stream
}

// A sender who leaves in the middle leaves nothing behind, even where the bytes
// up to there would make a whole image.
func TestInterruptedUploadLeavesNothing(t *testing.T) {
	w := newWorld(t)
	for name, begin := range interruptions {
		t.Run(name, func(t *testing.T) {
			patient, path := w.subject(t, "s1")
			before := imageFiles(t)
			data := synthetic(t, dicomfile.SyntheticSpec{Frames: 4})
			cut := begin(t, w, patient, data)
			underWay(t)
			cut()
			nothingLeft(t, before)
			if ids := imageIDs(t, w.admin, path); len(ids) != 0 {
				t.Errorf("listed are %v", ids)
			}
		})
	}
}

// Where a process dies in the middle, the sender is told, and what the crash
// left is cleared away when the process is back.
func TestCrashDuringUploadLeavesNothing(t *testing.T) {
	w := newWorld(t)
	for _, process := range imagePath {
		t.Run(process, func(t *testing.T) {
			_, path := w.subject(t, "s1")
			before, data := imageFiles(t), synthetic(t, dicomfile.SyntheticSpec{Frames: 4})
			conn := rawPut(t, path+"/images", w.admin.token, data, fmt.Sprintf("Content-Length: %d", 2*len(data)))
			underWay(t)
			theSuite.signal(t, process, syscall.SIGKILL)
			if process == "dicom-rpc" {
				_, _ = conn.Write(data) // The gateway notices with the next chunk at the latest.
				if r := answerWithin(t, conn, 10*time.Second); r.status != 503 || r.problem(t) != fault.ReasonUnavailable {
					t.Errorf("status %d: %s", r.status, r.body)
				}
			}
			nothingLeft(t, before)
			eventually(t, 10*time.Second, func() error {
				r, err := w.admin.try(http.MethodPut, path+"/images", bytes.NewReader(data))
				if err != nil || r.status != 201 {
					return fmt.Errorf("status %d, %v", r.status, err)
				}
				before = append(before, placeOf(r.object(t)["image_id"].(string)))
				return nil
			})
			slices.Sort(before)
			nothingLeft(t, before)
		})
	}
}

func placeOf(id string) string { return id[len(id)-2:] + "/" + id }

// Whoever may not send, or names nobody, is told so before the body is read: the
// head alone brings the answer.
func TestUploadIsRefusedBeforeItsBody(t *testing.T) {
	w := newWorld(t)
	_, path := w.subject(t, "s1")
	before := imageFiles(t)
	for _, c := range []struct {
		name, path, token, reason string
		status                    int
	}{
		{"no token", path, "", fault.ReasonTokenMissing, 401},
		{"a token that is none", path, "a.b.c", fault.ReasonTokenInvalid, 401},
		{"another project's user", path, as(t, "--role", "investigator", "--project", "p-other").token, fault.ReasonNoGrant, 403},
		{"a reader", path, w.as(t, "monitor").token, fault.ReasonRoleForbids, 403},
		{"another site's coordinator", path, w.as(t, "coordinator", "--site", "s2").token, fault.ReasonSubjectNotFound, 404},
		{"unknown subject", w.path + "/subjects/nobody", w.admin.token, fault.ReasonSubjectNotFound, 404},
		{"unknown project", "/v1/projects/p-nowhere/subjects/nobody", w.admin.token, fault.ReasonNoGrant, 403},
	} {
		for _, length := range []string{"Content-Length: 104857600", "Transfer-Encoding: chunked"} {
			t.Run(c.name+", "+length, func(t *testing.T) {
				t.Parallel()
				r := answerWithin(t, rawPut(t, c.path+"/images", c.token, nil, length), 5*time.Second)
				if r.status != c.status || r.problem(t) != c.reason {
					t.Errorf("status %d, want %d %s: %s", r.status, c.status, c.reason, r.body)
				}
			})
		}
		t.Run(c.name+", HTTP/2", func(t *testing.T) {
			t.Parallel()
			body, _ := io.Pipe() // Nothing ever comes out of it.
			defer body.Close()
			a := &api{token: c.token, http: &http.Client{Transport: transport(), Timeout: 5 * time.Second}}
			r, err := a.try(http.MethodPut, c.path+"/images", body)
			if err != nil {
				t.Fatalf("no whole answer within 5 s: %v", err)
			}
			if r.status != c.status || r.problem(t) != c.reason {
				t.Errorf("status %d, want %d %s: %s", r.status, c.status, c.reason, r.body)
			}
		})
	}
	t.Cleanup(func() { nothingLeft(t, before) })
}

// What was declared of a file must be so.
func TestDeclaredMustAgree(t *testing.T) {
	w := newWorld(t)
	patient, path := w.subject(t, "s1")
	before, data := imageFiles(t), synthetic(t, dicomfile.SyntheticSpec{})
	put := func(body []byte, header ...string) verdict {
		return verdictOf(t, w.admin.send(t, http.MethodPut, path+"/images", bytes.NewReader(body), header...))
	}
	const zeros = "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
	if v := put(data, "Content-Digest", zeros); !v.refusedAs("400") || v.rules[0] != "dicom.sha256_differs" {
		t.Errorf("another digest: %+v", v)
	}
	if v := put(data, "Content-Digest", "sha-256=:AAAA:"); v.status != "400" || v.reason != fault.ReasonFieldInvalid {
		t.Errorf("half a digest: %+v", v)
	}
	if v := put(data[:len(data)-1]); !v.refusedAs("400") || v.rules[0] != dicomfile.ReasonTruncated {
		t.Errorf("a byte less: %+v", v)
	}
	if v := put(nil); !v.refusedAs("400") || v.rules[0] != dicomfile.ReasonNotPart10 {
		t.Errorf("an empty body: %+v", v)
	}
	if v := put(data, "Content-Encoding", "gzip"); v.status != "400" {
		t.Errorf("a content encoding: %+v", v)
	}
	client := dicompb.NewDicomServiceClient(dial(t, "dicom-rpc", "127.0.0.1:9102", "partner"))
	for rule, info := range map[string]*dicompb.FileInfo{
		"dicom.size_differs, less":  {PatientId: patient, Size: new(uint64(len(data) - 1))},
		"dicom.size_differs, more":  {PatientId: patient, Size: new(uint64(len(data) + 1))},
		"dicom.sha256_differs":      {PatientId: patient, Sha256: strings.Repeat("0", 64)},
		"dicom.sha256_malformed":    {PatientId: patient, Sha256: "0"},
		"dicom.file_type":           {PatientId: patient, FileType: "exe"},
		"dicom.offset":              {PatientId: patient, Offset: 1},
		"dicom.too_large":           {PatientId: patient, Size: new(uint64(1) << 60)},
		"identifier.malformed":      {PatientId: "../" + patient},
		"identifier.malformed, too": {PatientId: patient, ClientRecordId: "a b"},
	} {
		v := uploadOverGRPC(authorized(deadline(t, time.Minute), w.admin.token), t, client, info, bytes.NewReader(data))
		want, _, _ := strings.Cut(rule, ",")
		if v.status != codes.InvalidArgument.String() || !slices.Equal(v.rules, []string{want}) {
			t.Errorf("%s: %+v", rule, v)
		}
	}
	if ids := imageIDs(t, w.admin, path); len(ids) != 0 {
		t.Errorf("listed are %v", ids)
	}
	nothingLeft(t, before)
}

// What a withdrawn subject's images may be: of studies up to the withdrawal's
// day in UTC, whenever they come; without a date the time of receipt counts.
func TestWithdrawnSubjectsImages(t *testing.T) {
	w := newWorld(t)
	const withdrawn = "2026-05-10T23:30:00-01:00" // The 11th in UTC.
	day := func(d int) dicomfile.SyntheticSpec {
		return dicomfile.SyntheticSpec{StudyDate: time.Date(2026, 5, d, 0, 0, 0, 0, time.UTC), Rows: 16, Columns: 16}
	}
	before := imageFiles(t)
	var kept []string
	for _, way := range w.senders(t) {
		t.Run(way.name, func(t *testing.T) {
			patient, path := w.subject(t, "s1")
			w.admin.post(t, path+":withdraw", object{"withdrawal_time": withdrawn}).want(t, 201)
			time.Sleep(2100 * time.Millisecond) // What dicom-rpc knows of a subject is at most 2 s old.
			for _, c := range []struct {
				name     string
				spec     dicomfile.SyntheticSpec
				accepted bool
				finding  bool
			}{
				{"the day before", day(10), true, false},
				{"the same day", day(11), true, true},
				{"the day after", day(12), false, false},
				{"without a date", dicomfile.SyntheticSpec{Rows: 16, Columns: 16}, false, false},
			} {
				data := synthetic(t, c.spec)
				v := way.send(t, patient, bytes.NewReader(data), int64(len(data)))
				refusal := map[bool]string{true: "", false: fault.ReasonWithdrawn}[c.accepted]
				if v.stored() != c.accepted || v.reason != refusal || slices.Contains(v.findings, "dicom.study_on_withdrawal_day") != c.finding {
					t.Errorf("%s: %+v", c.name, v)
				}
				if v.stored() {
					kept = append(kept, v.id)
				}
			}
			if ids := imageIDs(t, w.admin, path); len(ids) != 2 {
				t.Errorf("listed are %v", ids)
			}
		})
	}
	nothingLeft(t, before, kept...)
}
