package scenario

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bdragon300/tusgo"

	"clinsource/dicom-rpc/dicomfile"
)

// tusClient is a tus client that nobody here wrote, on a line of its own.
func tusClient(t testing.TB, base, token string) *tusgo.Client {
	t.Helper()
	at, err := url.Parse(base + "/v1/uploads/")
	if err != nil {
		t.Fatal(err)
	}
	lines := transport().Clone()
	t.Cleanup(lines.CloseIdleConnections)
	client := tusgo.NewClient(&http.Client{Transport: lines}, at)
	client.GetRequest = func(method, url string, body io.Reader, _ *tusgo.Client, _ *http.Client) (*http.Request, error) {
		req, err := http.NewRequestWithContext(t.Context(), method, url, body)
		if err == nil {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		return req, err
	}
	return client
}

// aboutTus is what an upload says of itself.
func aboutTus(w *world, patient string, data []byte) map[string]string {
	sum := sha256.Sum256(data)
	return map[string]string{"filename": "scan.dcm", "filetype": "application/dicom", "sha256": hex.EncodeToString(sum[:]),
		"patient_id": patient, "project_id": w.project, "relativePath": "a/scan.dcm"}
}

// sendTus uploads data by that client, and goes on after every error that is not
// of the file itself until end. It gives the image's id.
func sendTus(client *tusgo.Client, about map[string]string, data []byte, chunk int64, end time.Time) (id string, err error) {
	upload := tusgo.Upload{}
	again := func(do func() error) error {
		err := do()
		for ; err != nil && time.Now().Before(end); err = do() {
			time.Sleep(100 * time.Millisecond)
		}
		return err
	}
	if err := again(func() error {
		_, err := client.CreateUpload(&upload, int64(len(data)), false, about)
		return err
	}); err != nil {
		return "", fmt.Errorf("create: %w", err)
	}
	stream := tusgo.NewUploadStream(client, &upload)
	stream.ChunkSize = chunk
	err = again(func() error {
		if _, err := stream.Sync(); err != nil {
			return err
		}
		if stream.Tell() < int64(len(data)) {
			stream.ForceClean()
			if _, err := stream.ReadFrom(bytes.NewReader(data[stream.Tell():])); err != nil {
				return err
			}
		}
		if id = stream.LastResponse.Header.Get("Clinsource-Image-Id"); id == "" {
			return fmt.Errorf("status %d at %d of %d and no image", stream.LastResponse.StatusCode, stream.Tell(), len(data))
		}
		return nil
	})
	return id, err
}

// A client that nobody here wrote uploads, is cut, goes on where it was, and gives
// up what it does not want; the image comes back bit by bit.
func TestTusByAnotherClient(t *testing.T) {
	w := newWorld(t)
	patient, path := w.subject(t, "s1")
	before := imageFiles(t)
	data := synthetic(t, frames(4, 1))
	line := newCutter(t, 1, 512<<10, 1<<20)
	client := tusClient(t, line.url(), w.as(t, "coordinator", "--site", "s1").token)
	if _, err := client.UpdateCapabilities(); err != nil || client.Capabilities.MaxSize != 16<<30 {
		t.Fatalf("capabilities: %v, %+v", err, client.Capabilities)
	}
	id, err := sendTus(client, aboutTus(w, patient, data), data, tusgo.NoChunked, time.Now().Add(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if line.cuts.Load() == 0 {
		t.Error("the line was never cut: the test shows nothing")
	}
	checkImage(t, w, path, id, data)

	line.mended.Store(true)
	about := aboutTus(w, patient, data)
	delete(about, "sha256") // Or else the image is found before a byte is sent.
	var unwanted tusgo.Upload
	if _, err := client.CreateUpload(&unwanted, int64(len(data)), false, about); err != nil || unwanted.UploadExpired == nil ||
		time.Until(*unwanted.UploadExpired) < time.Hour {
		t.Fatalf("create: %v, expires %v", err, unwanted.UploadExpired)
	}
	stream := tusgo.NewUploadStream(client, &unwanted)
	if _, err := stream.Write(data[:1<<20]); err != nil || unwanted.RemoteOffset != 1<<20 {
		t.Fatalf("1 MiB of it: %v, offset %d", err, unwanted.RemoteOffset)
	}
	if _, err := client.DeleteUpload(unwanted); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := client.GetUpload(&tusgo.Upload{}, unwanted.Location); !errors.Is(err, tusgo.ErrUploadDoesNotExist) {
		t.Errorf("after the deletion: %v", err)
	}
	nothingLeft(t, before, id)
}

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func checkImage(t *testing.T, w *world, subject, id string, data []byte) {
	t.Helper()
	var back bytes.Buffer
	w.admin.getImage(t, subject+"/images/"+id, &back)
	if !bytes.Equal(back.Bytes(), data) {
		t.Errorf("image %s comes back as %d bytes that are not the %d that were sent", id, back.Len(), len(data))
	}
}

// An upload belongs to who began it: to others, even of the same project, it is
// not there.
func TestTusUploadsAreTheirOwners(t *testing.T) {
	w := newWorld(t)
	patient, _ := w.subject(t, "s1")
	r := w.admin.send(t, "POST", "/v1/uploads/", nil, "Tus-Resumable", "1.0.0", "Upload-Length", "1000",
		"Upload-Metadata", "patient_id "+base64Of(patient))
	if r.status != 201 {
		t.Fatalf("create: %d %s", r.status, r.body)
	}
	location := r.header.Get("Location")
	out, err := exec.Command("bin/clinctl", "token", "--sub", "another", "--role", "admin", "--project", w.project).Output()
	if err != nil {
		t.Fatal(err)
	}
	another := &api{token: strings.TrimSpace(string(out)), http: w.admin.http}
	for method, want := range map[string]int{"HEAD": 404, "PATCH": 404, "DELETE": 404} {
		r := another.send(t, method, location, strings.NewReader(""), "Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
		if r.status != want {
			t.Errorf("%s by another: %d %s", method, r.status, r.body)
		}
	}
	if r := w.as(t, "monitor").send(t, "POST", "/v1/uploads/", nil, "Tus-Resumable", "1.0.0", "Upload-Length", "1000",
		"Upload-Metadata", "project_id "+base64Of(w.project)); r.status != 403 {
		t.Errorf("create by one who may only read: %d %s", r.status, r.body)
	}
	if r := w.admin.send(t, "DELETE", location, nil, "Tus-Resumable", "1.0.0"); r.status != 204 {
		t.Errorf("DELETE: %d %s", r.status, r.body)
	}
}

// What is no image is refused in the answer to its last byte, with the rule.
func TestTusRefusedImage(t *testing.T) {
	w := newWorld(t)
	patient, path := w.subject(t, "s1")
	before, data := imageFiles(t), synthetic(t, dicomfile.SyntheticSpec{})
	data = data[:len(data)-1000]
	r := w.admin.send(t, "POST", "/v1/uploads", bytes.NewReader(data), "Tus-Resumable", "1.0.0", "Upload-Length", fmt.Sprint(len(data)),
		"Upload-Metadata", "patient_id "+base64Of(patient), "Content-Type", "application/offset+octet-stream")
	if v := verdictOf(t, r); !v.refusedAs("400") || v.rules[0] != dicomfile.ReasonTruncated {
		t.Errorf("cut short: %d %s", r.status, r.body)
	}
	if ids := imageIDs(t, w.admin, path); len(ids) != 0 {
		t.Errorf("listed are %v", ids)
	}
	nothingLeft(t, before)
}

// cutFor is how long lines are cut and processes killed; then all must get
// through.
var (
	cutFor    = orFull(15*time.Second, 90*time.Second)
	throughIn = orFull(60*time.Second, 15*time.Minute)
)

// Dozens of uploads, by clinctl and by another's client, come through though
// lines are cut, dicom-rpc and the gateway killed, and clinctl itself: each image
// is there once, bit by bit, and nothing else is left.
func TestTusUploadsSurvive(t *testing.T) {
	byOther, byClinctl := orFull(20, 50), orFull(20, 50)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	patient, path := w.subject(t, "s1")
	before := imageFiles(t)
	line := newCutter(t, seed, 100<<10, orFull(4<<20, 64<<20))
	end := time.Now().Add(throughIn)
	user := w.as(t, "coordinator", "--site", "s1")

	folder, others := t.TempDir(), t.TempDir()
	var files []string
	for i := range byOther + byClinctl {
		in := map[bool]string{true: folder, false: others}[i < byClinctl]
		files = append(files, filepath.Join(in, fmt.Sprintf("%02d.dcm", i)))
		if err := os.WriteFile(files[i], synthetic(t, frames(someMebibytes(random), random.Uint64())), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	ids, mu := map[string]string{}, sync.Mutex{}
	note := func(name, id string) { mu.Lock(); defer mu.Unlock(); ids[name] = id }
	var workers sync.WaitGroup
	names := make(chan string, byOther)
	for _, name := range files[byClinctl:] {
		names <- name
	}
	close(names)
	for i := range orFull(4, byOther) {
		client := tusClient(t, line.url(), user.token)
		workers.Go(func() {
			for name := range names {
				chunk := []int64{tusgo.NoChunked, 1 << 20}[i%2]
				data, err := os.ReadFile(name)
				if err != nil {
					t.Error(err)
				}
				id, err := sendTus(client, aboutTus(w, patient, data), data, chunk, end)
				if err != nil {
					t.Errorf("%s, chunks of %d: %v", filepath.Base(name), chunk, err)
				}
				note(name, id)
			}
		})
	}
	runs := 0
	workers.Go(func() {
		for runs = 1; ; runs++ {
			limit := orFull(2*time.Second, 20*time.Second)
			if runs > 3 {
				limit = time.Until(end)
			}
			results, killed, err := clinctlJSON(w, user, patient, line.url(), folder, limit)
			if !killed {
				if err != nil {
					t.Errorf("clinctl: %v", err)
				}
				for name, r := range results {
					note(name, r.ImageID)
					if r.State == "not_stored" {
						t.Errorf("clinctl: %s: %s", filepath.Base(name), r.Error.Message)
					}
				}
				return
			}
		}
	})
	kills := 0
	for begun := time.Now(); time.Since(begun) < cutFor; kills++ {
		time.Sleep(1500*time.Millisecond + time.Duration(random.IntN(1000))*time.Millisecond)
		theSuite.signal(t, []string{"dicom-rpc", "project-api"}[kills%2], syscall.SIGKILL)
	}
	line.mended.Store(true)
	calm := time.Now()
	workers.Wait()
	t.Logf("%d lines cut, %d processes killed, clinctl run %d times; all through %v after the last kill",
		line.cuts.Load(), kills, runs, time.Since(calm).Round(time.Millisecond))
	if line.cuts.Load() < 10 || runs < 2 {
		t.Error("too little was cut for the test to show anything")
	}
	if t.Failed() {
		return
	}
	eventually(t, 10*time.Second, func() error { // After the last kill.
		r, err := w.admin.try(http.MethodGet, path+"/images", nil)
		if err == nil && r.status != 200 {
			err = fmt.Errorf("status %d", r.status)
		}
		return err
	})
	acknowledged := map[string]bool{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		acknowledged[ids[name]] = true
		checkImage(t, w, path, ids[name], data)
	}
	if listed := imageIDs(t, w.admin, path); !sameIDs(listed, acknowledged) {
		t.Errorf("%d images are listed, %d were acknowledged", len(listed), len(acknowledged))
	}
	var kept []string
	for id := range acknowledged {
		kept = append(kept, id)
	}
	nothingLeft(t, before, kept...)
}

// clinctlResult is a line of clinctl upload --json.
type clinctlResult struct {
	File    string `json:"file"`
	State   string `json:"state"`
	ImageID string `json:"image_id"`
	There   int64  `json:"bytes_there"`
	Error   struct {
		Message string `json:"message"`
	} `json:"error"`
}

// clinctlJSON runs clinctl upload on a folder, and kills it after limit.
func clinctlJSON(w *world, user *api, patient, gateway, folder string, limit time.Duration) (results map[string]clinctlResult, killed bool, err error) {
	c := exec.Command("bin/clinctl", "upload", "--url", gateway, "--project", w.project, "--patient", patient, "--json", "--patience", orFull("40s", "10m"), folder)
	c.Env = append(os.Environ(), "CLINSOURCE_TOKEN="+user.token)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		return nil, false, err
	}
	timer := time.AfterFunc(limit, func() { _ = c.Process.Kill() })
	err = c.Wait()
	if !timer.Stop() {
		return nil, true, nil
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, errs.String())
	}
	results = map[string]clinctlResult{}
	for line := range strings.Lines(out.String()) {
		var r clinctlResult
		if json.Unmarshal([]byte(line), &r) == nil && r.File != "" {
			results[r.File] = r
		}
	}
	return results, false, err
}
