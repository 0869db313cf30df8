package logic_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

// eventually asks again and again, for at most 10 s.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// committed waits until at least n bytes of an upload are committed, and gives
// how many.
func (f *fixture) committed(t testing.TB, id string, n int) int {
	t.Helper()
	at := 0
	eventually(t, "enough is committed", func() bool {
		at = int(f.get(t, id).GetOffset())
		return at >= n
	})
	return at
}

// Bytes are committed while the stream goes on: 8 MiB at once, fewer after a
// while.
func TestUploadCommitsOnTheWay(t *testing.T) {
	f := open(t)
	file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", Rows: 1024, Columns: 1024, Frames: 6})
	id := f.create(t, file).GetUploadId()
	ctx, cut := context.WithCancel(within(t))
	stream := f.stream(t, ctx, id, 0)
	sendAll(stream, file[:9<<20])
	at := f.committed(t, id, 9<<20)
	expires := f.get(t, id).GetExpiresTime().AsTime()
	sendAll(stream, file[at:at+1])
	if got := f.committed(t, id, at+1); got != at+1 {
		t.Errorf("%d bytes are committed of %d sent", got, at+1)
	}
	if later := f.get(t, id).GetExpiresTime().AsTime(); !later.After(expires) {
		t.Errorf("progress did not put off the end: %v, then %v", expires, later)
	}
	cut()
	resp, err := f.part(t, id, file, at+1, len(file))
	f.wantComplete(t, id, file, resp, err)
}

// A stream that is cut leaves all that came, committed.
func TestUploadCutIsCommitted(t *testing.T) {
	f := open(t)
	file := large(t)
	id := f.create(t, file).GetUploadId()
	ctx, cut := context.WithCancel(within(t))
	sendAll(f.stream(t, ctx, id, 0), file[:700_000])
	eventually(t, "all has come", func() bool {
		incoming, _ := f.files(t)
		if len(incoming) != 1 {
			return false
		}
		info, err := os.Stat(incoming[0])
		return err == nil && info.Size() == 700_000
	})
	cut()
	if at := f.committed(t, id, 700_000); at != 700_000 {
		t.Errorf("%d bytes are committed of 700000", at)
	}
	resp, err := f.part(t, id, file, 700_000, len(file))
	f.wantComplete(t, id, file, resp, err)
}

// Whoever sends the last byte and leaves finds the image stored.
func TestUploadIsStoredWithoutItsCaller(t *testing.T) {
	f := open(t)
	file := large(t)
	id := f.create(t, file).GetUploadId()
	ctx, cut := context.WithCancel(within(t))
	f.registry.hold()
	sendAll(f.stream(t, ctx, id, 0), file)
	eventually(t, "the file is whole and being judged", f.registry.asked)
	cut()
	time.Sleep(50 * time.Millisecond) // Let the cut arrive.
	f.registry.letGo()
	eventually(t, "the upload is complete", func() bool { return f.get(t, id).GetState() == dicompb.UploadState_COMPLETE })
	f.wantImages(t, 1)
	resp, err := f.part(t, id, file, 0, 0)
	f.wantComplete(t, id, file, resp, err)
}

// takeover has a first stream in the middle of an upload, and a second one of
// another process, or of the same, go on at what is committed.
func takeover(t *testing.T, first, second *fixture) {
	file := large(t)
	id := first.create(t, file).GetUploadId()
	if _, err := first.part(t, id, file, 0, 500_000); err != nil {
		t.Fatal(err)
	}
	old := first.stream(t, within(t), id, 500_000)
	wrong := make([]byte, 900_000) // What the first one writes beyond must not stay.
	sendAll(old, wrong[:100_000])
	eventually(t, "the first stream has begun", func() bool {
		incoming, _ := first.files(t)
		info, err := os.Stat(incoming[0])
		return err == nil && info.Size() >= 600_000
	})
	resp, err := second.part(t, id, file, 500_000, len(file))
	if err != nil {
		t.Fatal(err)
	}
	second.wantComplete(t, id, file, resp, err)
	sendAll(old, wrong)
	_, err = old.CloseAndRecv()
	if got := wantFault(t, err, codes.Aborted, ""); got.Reason != fault.ReasonUploadOffset || !strings.Contains(got.Message, "GetUpload") {
		t.Errorf("the first stream was told %v", err)
	}
	second.wantImages(t, 1)
}

func TestNewerStreamTakesOver(t *testing.T) {
	f := open(t)
	takeover(t, f, f)
}

// TestNewerProcessTakesOver has two processes on one folder and one database.
func TestNewerProcessTakesOver(t *testing.T) {
	a := open(t)
	b := a.beside(t)
	for _, f := range []*fixture{a, b} {
		stop := f.svc.Uploads.KeepTidy()
		t.Cleanup(func() { _ = stop() })
	}
	begun := time.Now()
	takeover(t, a, b)
	t.Logf("took %v", time.Since(begun))
}

// A stream that does not end within 5 s is not written beside: whoever comes is
// told to come again.
func TestHeldFileIsNotWrittenBeside(t *testing.T) {
	a := open(t)
	b := a.beside(t) // Neither watches.
	file := large(t)
	id := a.create(t, file).GetUploadId()
	old := a.stream(t, within(t), id, 0)
	sendAll(old, file[:1000])
	a.committed(t, id, 1000) // So that it has no commit to make, which would tell it.
	_, err := b.part(t, id, file, 1000, 2000)
	if got := wantFault(t, err, codes.Unavailable, ""); got.RetryAfter == 0 {
		t.Errorf("told %v", err)
	}
	sendAll(old, file[1000:2000]) // It has lost the upload all the same.
	_, err = old.CloseAndRecv()
	wantFault(t, err, codes.Aborted, "")
	resp, err := b.part(t, id, file, int(b.get(t, id).GetOffset()), len(file))
	b.wantComplete(t, id, file, resp, err)
}

// The digest goes on in another process, from its state or, where that is of
// another make, from the bytes.
func TestDigestGoesOnElsewhere(t *testing.T) {
	a := open(t)
	for name, spoil := range map[string]bool{"the state": false, "the bytes": true} {
		t.Run(name, func(t *testing.T) {
			file := large(t)
			id := a.create(t, file).GetUploadId()
			for at := 0; at < len(file); {
				to := min(len(file), at+777_777)
				resp, err := a.beside(t).part(t, id, file, at, to)
				if err != nil {
					t.Fatal(err)
				}
				if at = to; at == len(file) {
					a.wantComplete(t, id, file, resp, err)
				}
				if spoil {
					a.exec(t, `UPDATE uploads SET hash_state = 'abcd'`)
				}
			}
		})
	}
}

// Files that lost synced bytes are not taken for whole.
func TestLostBytesAreNoticed(t *testing.T) {
	f := open(t)
	file := large(t)
	id := f.create(t, file).GetUploadId()
	if _, err := f.part(t, id, file, 0, 1000); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.dir, "incoming", id)
	for _, lose := range []func() error{func() error { return os.Truncate(path, 999) }, func() error { return os.Remove(path) }} {
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		_, err := f.part(t, id, file, 1000, len(file))
		wantFault(t, err, codes.DataLoss, "")
	}
}

// Whatever keeps a whole file from being stored for now keeps none of its bytes
// from being taken: another try, without a chunk, stores it.
func TestWholeUploadIsFinishedLater(t *testing.T) {
	for name, away := range map[string]func(*registry, bool){
		"the registry is away": func(r *registry, on bool) {
			r.fail(on, fault.Unavailable(fault.ReasonUnavailable, "away", time.Second))
		},
		"a panic": func(r *registry, on bool) {
			r.mu.Lock()
			r.panics = on
			r.mu.Unlock()
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			file := large(t)
			id := f.create(t, file).GetUploadId()
			away(f.registry, true)
			if _, err := f.part(t, id, file, 0, len(file)); err == nil {
				t.Fatal("stored without the registry")
			}
			if up := f.get(t, id); up.GetState() != dicompb.UploadState_OPEN || up.GetOffset() != uint64(len(file)) {
				t.Errorf("the upload is %v", up)
			}
			if _, images := f.files(t); len(images) != 0 {
				t.Errorf("files %v", images)
			}
			away(f.registry, false)
			resp, err := f.beside(t).part(t, id, file, len(file), len(file))
			f.wantComplete(t, id, file, resp, err)
			f.wantImages(t, 1)
		})
	}
}

// A process that dies between a file's publishing and its row leaves the file
// with both names; whoever finishes it takes it as it is.
func TestPublishedUploadIsFinishedLater(t *testing.T) {
	f := open(t)
	file := large(t)
	id := f.create(t, file).GetUploadId()
	f.registry.fail(true, fault.Unavailable(fault.ReasonUnavailable, "away", time.Second))
	if _, err := f.part(t, id, file, 0, len(file)); err == nil {
		t.Fatal("stored without the registry")
	}
	f.registry.fail(false, nil)
	if err := os.Link(filepath.Join(f.dir, "incoming", id), imagePath(f, id)); err != nil {
		t.Fatal(err)
	}
	if err := f.images.Settle(within(t), f.svc.Store.Fate); err != nil {
		t.Fatal(err)
	}
	resp, err := f.part(t, id, file, len(file), len(file))
	f.wantComplete(t, id, file, resp, err)
	f.wantImages(t, 1)
}

// A process that stops commits what its streams have brought, and says so.
func TestStoppingCommits(t *testing.T) {
	f := open(t)
	stop := f.svc.Uploads.KeepTidy()
	file := large(t)
	id := f.create(t, file).GetUploadId()
	stream := f.stream(t, within(t), id, 0)
	sendAll(stream, file[:500_000])
	eventually(t, "all has come", func() bool {
		info, err := os.Stat(filepath.Join(f.dir, "incoming", id))
		return err == nil && info.Size() == 500_000
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if at := f.get(t, id).GetOffset(); at != 500_000 {
		t.Errorf("%d bytes are committed of 500000", at)
	}
	_, err := stream.CloseAndRecv()
	if got := wantFault(t, err, codes.Unavailable, ""); got.RetryAfter == 0 {
		t.Errorf("told %v", err)
	}
	resp, err := f.part(t, id, file, 500_000, len(file))
	f.wantComplete(t, id, file, resp, err)
}
