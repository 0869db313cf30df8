package scenario

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	_ "modernc.org/sqlite" // To look into dicom-rpc's table from outside.

	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

// uploadsFull says that the two stories of uploads that are cut and killed have
// 200 between them, of up to 200 MiB, all at once (UPLOADS=full, some minutes and
// 40 GB of disk), instead of some dozens of up to 20.
var uploadsFull = os.Getenv("UPLOADS") == "full"

func orFull[T any](usual, full T) T {
	if uploadsFull {
		return full
	}
	return usual
}

var (
	resumedUploads = orFull(36, 100)
	resumingAtOnce = orFull(12, 100)
	resumeKills    = orFull(6, 20)
	resumeFor      = orFull(time.Minute, 15*time.Minute)   // For one upload, cuts and kills included.
	resumeOnce     = orFull(20*time.Second, 2*time.Minute) // For one stream.
)

// someMebibytes draws a size: small ones are as frequent as large ones are, in
// every order of magnitude.
func someMebibytes(random *rand.Rand) int {
	if !uploadsFull {
		return 1 + random.IntN(20)
	}
	return int(math.Pow(200, random.Float64()))
}

// resumer sends one file through cuts and kills, and counts.
type resumer struct {
	t       *testing.T
	client  dicompb.DicomServiceClient
	token   string
	patient string
	file    []byte

	id    string
	known uint64 // Bytes that the service has told of as committed.
	cuts  int
	sent  int
}

// An answer that a cut or a kill explains.
func (r *resumer) excused(err error) bool {
	switch fault.From(err).Code {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted:
		return true
	}
	return false
}

// run sends until the image is stored, and gives its answer.
func (r *resumer) run() *dicompb.UploadDicomResponse {
	for end := time.Now().Add(resumeFor); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err := r.once()
		switch {
		case err != nil && !r.excused(err):
			r.t.Errorf("upload of %d bytes: %v", len(r.file), err)
			return nil
		case err == nil && resp.GetSuccess():
			return resp
		case err == nil:
			r.learn(resp.GetOffset())
		}
	}
	r.t.Errorf("an upload of %d bytes is not stored after %v", len(r.file), resumeFor)
	return nil
}

// learn notes a committed offset; it never goes back.
func (r *resumer) learn(offset uint64) {
	if offset < r.known {
		r.t.Errorf("%d bytes are committed, %d were before", offset, r.known)
	}
	r.known = max(r.known, offset)
}

// once asks where to go on and sends from there: all, or up to a cut, of which the
// caller learns nothing or, by closing the stream, all.
func (r *resumer) once() (*dicompb.UploadDicomResponse, error) {
	ctx, cancel := context.WithTimeout(authorized(r.t.Context(), r.token), resumeOnce)
	defer cancel()
	up, err := r.upload(ctx)
	if err != nil {
		return nil, err
	}
	r.learn(up.GetOffset())
	stream, err := r.client.UploadDicom(ctx)
	if err != nil {
		return nil, err
	}
	info := &dicompb.FileInfo{UploadId: r.id, Offset: up.GetOffset()}
	if err := stream.Send(&dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Info{Info: info}}); err != nil {
		return stream.CloseAndRecv()
	}
	rest, cut := r.file[up.GetOffset():], 0
	if r.cuts < 4 && rand.IntN(3) > 0 {
		r.cuts++
		cut = 1 + rand.IntN(2)
		rest = rest[:rand.IntN(len(rest)+1)]
	}
	for chunk := range slices.Chunk(rest, 256<<10) {
		if stream.Send(&dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Chunk{Chunk: chunk}}) != nil {
			break
		}
		r.sent += len(chunk)
	}
	if cut == 1 {
		cancel()
	}
	return stream.CloseAndRecv()
}

func (r *resumer) upload(ctx context.Context) (*dicompb.Upload, error) {
	if r.id != "" {
		return r.client.GetUpload(ctx, &dicompb.GetUploadRequest{UploadId: r.id})
	}
	sum := sha256.Sum256(r.file)
	up, err := r.client.CreateUpload(ctx, &dicompb.CreateUploadRequest{
		Size: uint64(len(r.file)), Sha256: hex.EncodeToString(sum[:]), PatientId: r.patient, Resume: true,
	})
	r.id = up.GetUploadId()
	return up, err
}

// killDicom ends dicom-rpc and waits until its successor runs.
func killDicom(t *testing.T) {
	t.Helper()
	old := theSuite.pid(t, "dicom-rpc")
	theSuite.signal(t, "dicom-rpc", syscall.SIGKILL)
	eventually(t, 10*time.Second, func() error {
		if theSuite.pid(t, "dicom-rpc") == old {
			return fmt.Errorf("it is still there")
		}
		return nil
	})
}

// openInTable counts a project's uploads that dicom-rpc's table calls open.
func openInTable(t *testing.T, project string) (open int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(theSuite.folder("dicom-rpc"), "images.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM uploads WHERE state = 'OPEN' AND project_id = $1`, project).Scan(&open)
	if err != nil {
		t.Fatal(err)
	}
	return open
}

// Uploads that are cut again and again, while dicom-rpc is killed again and
// again, all come to their end: each image once, bit by bit, no committed byte
// sent twice, and nothing left of the way there.
func TestUploadsResumeThroughCutsAndKills(t *testing.T) {
	w := newWorld(t)
	before, begun := imageFiles(t), time.Now()
	seed := uint64(begun.UnixNano())
	t.Logf("seed %d", seed)
	client := dicompb.NewDicomServiceClient(dial(t, "dicom-rpc", "127.0.0.1:9102", "partner"))
	token := w.as(t, "investigator").token
	patients := make([]string, 4)
	for i := range patients {
		patients[i], _ = w.subject(t, "s1")
	}
	next, results := make(chan int), make([]*resumer, resumedUploads)
	stored := make([]*dicompb.UploadDicomResponse, resumedUploads)
	var workers sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(resumedUploads))
	for range resumingAtOnce {
		workers.Go(func() {
			for i := range next {
				patient := patients[i%len(patients)]
				spec := frames(someMebibytes(rand.New(rand.NewPCG(seed, uint64(i)))), uint64(i))
				spec.PatientID = patient
				file := synthetic(t, spec)
				results[i] = &resumer{t: t, client: client, token: token, patient: patient, file: file}
				stored[i] = results[i].run()
				left.Add(-1)
			}
		})
	}
	go func() {
		for i := range resumedUploads {
			next <- i
		}
		close(next)
	}()
	kills := 0
	for ; kills < resumeKills && left.Load() > 0; kills++ {
		time.Sleep(1100*time.Millisecond + rand.N(orFull(400*time.Millisecond, 6*time.Second))) // The launcher backs off from what exits within a second.
		killDicom(t)
	}
	workers.Wait()
	if t.Failed() {
		return
	}
	ids, cuts, sent, bytesOfAll := []string{}, 0, 0, 0
	for i, r := range results {
		checkResumed(t, r, stored[i])
		ids = append(ids, stored[i].GetImageId())
		cuts, sent, bytesOfAll = cuts+r.cuts, sent+r.sent, bytesOfAll+len(r.file)
	}
	listed := []string{}
	for _, patient := range patients {
		listed = append(listed, imageIDs(t, w.admin, w.path+"/subjects/"+patient)...)
	}
	slices.Sort(ids)
	slices.Sort(listed)
	if !slices.Equal(listed, ids) {
		t.Errorf("listed are %d images, stored were %d", len(listed), len(ids))
	}
	nothingLeft(t, before, ids...)
	if open := openInTable(t, w.project); open != 0 {
		t.Errorf("%d uploads are open", open)
	}
	if kills < 3 || cuts < resumedUploads/2 {
		t.Errorf("only %d kills and %d cuts: this run shows too little", kills, cuts)
	}
	t.Logf("%d uploads, %d bytes, %d sent, in %v with %d cuts and %d kills", len(ids), bytesOfAll, sent, time.Since(begun).Round(time.Second), cuts, kills)
}

// checkResumed holds the stored image against the file.
func checkResumed(t *testing.T, r *resumer, resp *dicompb.UploadDicomResponse) {
	t.Helper()
	ctx := authorized(deadline(t, resumeOnce), r.token)
	up, err := r.client.GetUpload(ctx, &dicompb.GetUploadRequest{UploadId: r.id})
	if err != nil || up.GetState() != dicompb.UploadState_COMPLETE || up.GetImage().GetImageId() != resp.GetImageId() {
		t.Errorf("upload %v, %v; the answer was %v", up, err, resp)
	}
	stream, err := r.client.DownloadDicom(ctx, &dicompb.DownloadDicomRequest{ImageId: resp.GetImageId()})
	if err != nil {
		t.Fatal(err)
	}
	var back bytes.Buffer
	for {
		msg, err := stream.Recv()
		if err != nil {
			break // The bytes tell whether it was the end.
		}
		back.Write(msg.GetChunk())
	}
	if !bytes.Equal(back.Bytes(), r.file) {
		t.Errorf("%d bytes back of %d, or others", back.Len(), len(r.file))
	}
}
