package logic_test

import (
	"context"
	"errors"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

func request(file []byte) *dicompb.CreateUploadRequest {
	return &dicompb.CreateUploadRequest{Size: uint64(len(file)), Sha256: sumOf(file), PatientId: "s-01", ProjectId: "p"}
}

func TestCreateUploadRefuses(t *testing.T) {
	f := open(t)
	sum := strings.Repeat("ab", 32)
	for _, c := range []struct {
		name, user string
		in         *dicompb.CreateUploadRequest
		code       codes.Code
		rule       string
	}{
		{"no size", "", &dicompb.CreateUploadRequest{PatientId: "s-01"}, codes.InvalidArgument, "dicom.size_missing"},
		{"over 16 GiB", "", &dicompb.CreateUploadRequest{Size: 16<<30 + 1}, codes.InvalidArgument, "dicom.too_large"},
		{"no digest", "", &dicompb.CreateUploadRequest{Size: 1, Sha256: sum[1:]}, codes.InvalidArgument, "dicom.sha256_malformed"},
		{"resume without a digest", "", &dicompb.CreateUploadRequest{Size: 1, Resume: true}, codes.InvalidArgument, "dicom.sha256_missing"},
		{"a type", "", &dicompb.CreateUploadRequest{Size: 1, FileType: "zip"}, codes.InvalidArgument, "dicom.file_type"},
		{"a malformed patient", "", &dicompb.CreateUploadRequest{Size: 1, PatientId: "a/b"}, codes.InvalidArgument, "identifier.malformed"},
		{"a reader", "monitor", &dicompb.CreateUploadRequest{Size: 1, PatientId: "s-01"}, codes.PermissionDenied, ""},
		{"a reader of no project", "monitor", &dicompb.CreateUploadRequest{Size: 1}, codes.PermissionDenied, ""},
		{"another project", "stranger", &dicompb.CreateUploadRequest{Size: 1, ProjectId: "p"}, codes.PermissionDenied, ""},
		{"another project's patient", "", &dicompb.CreateUploadRequest{Size: 1, PatientId: "x-01"}, codes.NotFound, ""},
		{"another site's patient", "coordinator", &dicompb.CreateUploadRequest{Size: 1, PatientId: "s-09"}, codes.NotFound, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := f.client.CreateUpload(as(within(t), c.user), c.in)
			wantFault(t, err, c.code, c.rule)
		})
	}
	if n := f.rows(t, "uploads"); n != 0 {
		t.Errorf("%d uploads", n)
	}
}

// An upload is its creator's alone, and is of what it was created for.
func TestUploadIsItsCallers(t *testing.T) {
	f := open(t)
	file := large(t)
	id := f.create(t, file).GetUploadId()
	other := as(within(t), "device") // Of the same project, and may send images.
	_, err := f.client.GetUpload(other, &dicompb.GetUploadRequest{UploadId: id})
	if got := wantFault(t, err, codes.NotFound, ""); got.Reason != fault.ReasonUploadNotFound {
		t.Errorf("told %v", err)
	}
	_, err = f.client.AbortUpload(other, &dicompb.AbortUploadRequest{UploadId: id})
	wantFault(t, err, codes.NotFound, "")
	_, err = f.upload(other, &dicompb.FileInfo{UploadId: id}, file)
	wantFault(t, err, codes.NotFound, "")

	size := uint64(len(file)) + 1
	for _, info := range []*dicompb.FileInfo{{Size: &size}, {Sha256: strings.Repeat("ab", 32)}, {PatientId: "s-02"}, {ProjectId: "q"}, {FileName: "x"}, {ClientRecordId: "x"}} {
		info.UploadId = id
		_, err := f.upload(within(t), info, file)
		wantFault(t, err, codes.InvalidArgument, "dicom.upload_differs")
	}
	size--
	resp, err := f.upload(within(t), &dicompb.FileInfo{UploadId: id, Size: &size, Sha256: strings.ToUpper(sumOf(file)), PatientId: "s-01", ProjectId: "p", FileType: "dcm"}, file)
	f.wantComplete(t, id, file, resp, err)
}

// Resume gives the same upload again, while it is open and when it is complete;
// bytes that the subject has need no upload at all.
func TestCreateUploadAgain(t *testing.T) {
	f := open(t)
	file := large(t)
	in := request(file)
	in.PatientId, in.Resume = "", true // The header will say.
	first, err := f.client.CreateUpload(within(t), in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.part(t, first.GetUploadId(), file, 0, 1000); err != nil {
		t.Fatal(err)
	}
	again, err := f.client.CreateUpload(within(t), in)
	if err != nil || again.GetUploadId() != first.GetUploadId() || again.GetOffset() != 1000 {
		t.Errorf("again %v, %v", again, err)
	}
	for _, change := range []func(*dicompb.CreateUploadRequest){
		func(in *dicompb.CreateUploadRequest) { in.Resume = false },
		func(in *dicompb.CreateUploadRequest) { in.FileName = "other" },
		func(in *dicompb.CreateUploadRequest) { in.ClientRecordId = "other" },
		func(in *dicompb.CreateUploadRequest) { in.Size++ },
	} {
		other := proto.Clone(in).(*dicompb.CreateUploadRequest)
		change(other)
		if up, err := f.client.CreateUpload(within(t), other); err != nil || up.GetUploadId() == first.GetUploadId() {
			t.Errorf("%v gave the same upload, %v", other, err)
		}
	}
	if up, err := f.client.CreateUpload(as(within(t), "device"), in); err != nil || up.GetUploadId() == first.GetUploadId() {
		t.Errorf("another caller got the same upload, %v", err)
	}
	resp, err := f.part(t, first.GetUploadId(), file, 1000, len(file))
	f.wantComplete(t, first.GetUploadId(), file, resp, err)
	done, err := f.client.CreateUpload(within(t), in)
	if err != nil || done.GetUploadId() != first.GetUploadId() || !proto.Equal(done.GetImage(), resp) {
		t.Errorf("when it is complete: %v, %v", done, err)
	}

	known := request(file)
	known.ClientRecordId = "later"
	up, err := f.client.CreateUpload(as(within(t), "device"), known)
	if err != nil || up.GetState() != dicompb.UploadState_COMPLETE || up.GetImage().GetImageId() != resp.GetImageId() || up.GetImage().GetCreated() || !up.GetImage().GetSuccess() {
		t.Errorf("known bytes: %v, %v", up, err)
	}
	elsewhere := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01"})
	_, err = f.upload(within(t), &dicompb.FileInfo{ClientRecordId: "later"}, elsewhere)
	wantFault(t, err, codes.AlreadyExists, "") // The name is the known image's now.
	f.wantImages(t, 1)
}

// The same bytes by two uploads are one image; nothing of the second stays.
func TestUploadOfBytesThatAreThere(t *testing.T) {
	f := open(t)
	file := large(t)
	a, b := f.create(t, file).GetUploadId(), f.create(t, file).GetUploadId()
	first, err := f.part(t, a, file, 0, len(file))
	f.wantComplete(t, a, file, first, err)
	second, err := f.part(t, b, file, 0, len(file))
	f.wantComplete(t, b, file, second, err)
	if second.GetImageId() != first.GetImageId() || second.GetCreated() {
		t.Errorf("first %v, second %v", first, second)
	}
	f.wantImages(t, 1)
}

// A refused file stays refused, in the same words, and nothing of it is kept.
func TestRefusedUploadStaysRefused(t *testing.T) {
	f := open(t)
	sent := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01"})
	f.send(t, &dicompb.FileInfo{ClientRecordId: "taken"}, sent)
	for _, c := range []struct {
		name string
		file []byte
		in   func(*dicompb.CreateUploadRequest)
		code codes.Code
		rule string
	}{
		{"another digest", large(t), func(in *dicompb.CreateUploadRequest) { in.Sha256 = sumOf(nil) }, codes.InvalidArgument, "dicom.sha256_differs"},
		{"cut short", large(t)[:1<<20], func(*dicompb.CreateUploadRequest) {}, codes.InvalidArgument, "dicom.truncated"},
		{"less than a preamble", large(t)[:100], func(*dicompb.CreateUploadRequest) {}, codes.InvalidArgument, "dicom.not_part10"},
		{"an unknown patient in the header", synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-77"}), func(in *dicompb.CreateUploadRequest) { in.PatientId = "" }, codes.NotFound, ""},
		{"after the withdrawal", synthetic(t, dicomfile.SyntheticSpec{PatientID: "gone", StudyDate: withdrawal.AddDate(0, 0, 1)}), func(in *dicompb.CreateUploadRequest) { in.PatientId = "gone" }, codes.FailedPrecondition, ""},
		{"a name that is taken", large(t), func(in *dicompb.CreateUploadRequest) { in.ClientRecordId = "taken" }, codes.AlreadyExists, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := request(c.file)
			c.in(in)
			up, err := f.client.CreateUpload(within(t), in)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.part(t, up.GetUploadId(), c.file, 0, len(c.file))
			first := wantFault(t, err, c.code, c.rule)
			_, err = f.part(t, up.GetUploadId(), c.file, 0, 0)
			if again := wantFault(t, err, c.code, c.rule); again.Message != first.Message || again.Reason != first.Reason || !slices.Equal(again.Violations, first.Violations) {
				t.Errorf("first %v, again %v", first, again)
			}
			if now := f.get(t, up.GetUploadId()); now.GetState() != dicompb.UploadState_REFUSED || now.GetRefusal() != first.Message {
				t.Errorf("the upload is %v", now)
			}
			f.wantImages(t, 1)
		})
	}
}

// What is not DICOM is refused by its first bytes, of whichever stream.
func TestUploadIsRefusedByItsFirstBytes(t *testing.T) {
	f := open(t)
	file := make([]byte, 1<<20)
	id := f.create(t, file).GetUploadId()
	if _, err := f.part(t, id, file, 0, 100); err != nil {
		t.Fatal(err)
	}
	_, err := f.part(t, id, file, 100, 200)
	wantFault(t, err, codes.InvalidArgument, "dicom.not_part10")
	if up := f.get(t, id); up.GetState() != dicompb.UploadState_REFUSED {
		t.Errorf("the upload is %v", up)
	}
	f.wantImages(t, 0)
}

// A message that breaks the protocol costs its stream and not the upload.
func TestBrokenStreamKeepsTheUpload(t *testing.T) {
	f := open(t)
	file := large(t)
	id := f.create(t, file).GetUploadId()
	for name, rule := range map[string]string{"more than declared": "dicom.size_differs", "a large chunk": "dicom.chunk_too_large", "nothing": "dicom.message_empty", "info": "dicom.info_repeated"} {
		stream := f.stream(t, within(t), id, int(f.get(t, id).GetOffset()))
		at := int(f.get(t, id).GetOffset())
		_ = stream.Send(chunkMessage(file[at : at+1000]))
		switch name {
		case "more than declared":
			sendAll(stream, append(slices.Clone(file[at+1000:]), 0))
		case "a large chunk":
			_ = stream.Send(chunkMessage(make([]byte, 1<<20+1)))
		case "nothing":
			_ = stream.Send(&dicompb.UploadDicomRequest{})
		case "info":
			_ = stream.Send(infoMessage(&dicompb.FileInfo{}))
		}
		_, err := stream.CloseAndRecv()
		wantFault(t, err, codes.InvalidArgument, rule)
		if up := f.get(t, id); up.GetState() != dicompb.UploadState_OPEN || int(up.GetOffset()) < at+1000 {
			t.Errorf("%s: the upload is %v", name, up)
		}
		if name == "more than declared" { // All but the last chunk has come.
			id = f.create(t, file).GetUploadId()
		}
	}
	resp, err := f.part(t, id, file, int(f.get(t, id).GetOffset()), len(file))
	f.wantComplete(t, id, file, resp, err)
}

func TestAbortUpload(t *testing.T) {
	f := open(t)
	file := large(t)
	id := f.create(t, file).GetUploadId()
	stream := f.stream(t, within(t), id, 0)
	sendAll(stream, file[:1000])
	f.waitIncoming(t)
	for range 2 {
		up, err := f.client.AbortUpload(within(t), &dicompb.AbortUploadRequest{UploadId: id})
		if err != nil || up.GetState() != dicompb.UploadState_ABORTED {
			t.Errorf("aborted %v, %v", up, err)
		}
	}
	_, err := stream.CloseAndRecv()
	wantFault(t, err, codes.Aborted, "")
	_, err = f.part(t, id, file, 0, 0)
	if got := wantFault(t, err, codes.NotFound, ""); got.Reason != fault.ReasonUploadNotFound {
		t.Errorf("told %v", err)
	}
	eventually(t, "its bytes are removed", func() bool {
		if err := f.images.Settle(within(t), f.svc.Store.Fate); err != nil {
			t.Error(err)
		}
		incoming, _ := f.files(t)
		return len(incoming) == 0
	})
	var n int
	err = f.db.QueryRow(within(t), `SELECT COUNT(*) FROM audit_events WHERE action = 'abort' AND actor = 'inv' AND record_id = $1 AND project_id = 'p' AND role = 'investigator'`, id).Scan(&n)
	if err != nil || n != 1 {
		t.Errorf("%d audit rows, %v", n, err)
	}

	done := f.create(t, file).GetUploadId()
	resp, err := f.part(t, done, file, 0, len(file))
	f.wantComplete(t, done, file, resp, err)
	if up, err := f.client.AbortUpload(within(t), &dicompb.AbortUploadRequest{UploadId: done}); err != nil || up.GetState() != dicompb.UploadState_COMPLETE {
		t.Errorf("when complete: %v, %v", up, err)
	}
	f.wantComplete(t, done, file, resp, nil)
}

// An upload without progress ends by the clock; its bytes go at once, its row
// later.
func TestUploadExpires(t *testing.T) {
	f := open(t)
	file := large(t)
	idle, kept := f.create(t, file).GetUploadId(), f.create(t, file).GetUploadId()
	now := time.Now()
	f.svc.Uploads.Now = func() time.Time { return now }
	tidy := func() {
		t.Helper()
		if err := errors.Join(f.svc.Uploads.Tidy(within(t)), f.images.Settle(within(t), f.svc.Store.Fate)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.part(t, idle, file, 0, 1000); err != nil {
		t.Fatal(err)
	}
	now = now.Add(limits.Expiry * 3 / 4)
	if _, err := f.part(t, kept, file, 0, 1000); err != nil {
		t.Fatal(err)
	}
	tidy()
	if incoming, _ := f.files(t); len(incoming) != 2 {
		t.Errorf("files %v before their time", incoming)
	}
	now = now.Add(limits.Expiry / 2)
	if up := f.get(t, idle); up.GetState() != dicompb.UploadState_EXPIRED { // Nobody has tidied yet.
		t.Errorf("the upload is %v", up)
	}
	_, err := f.part(t, idle, file, 1000, len(file))
	wantFault(t, err, codes.NotFound, "")
	tidy()
	if up := f.get(t, idle); up.GetState() != dicompb.UploadState_EXPIRED {
		t.Errorf("the upload is %v", up)
	}
	if incoming, _ := f.files(t); len(incoming) != 1 || !strings.HasSuffix(incoming[0], kept) {
		t.Errorf("files %v", incoming)
	}
	resp, err := f.part(t, kept, file, 1000, len(file))
	f.wantComplete(t, kept, file, resp, err)
	now = now.Add(limits.Keep + time.Minute)
	tidy()
	if n := f.rows(t, "uploads"); n != 0 {
		t.Errorf("%d rows long after", n)
	}
	f.wantImages(t, 1)
}

// TestUploadExpiresUnderItsStream has a stream that sends nothing for too long.
func TestUploadExpiresUnderItsStream(t *testing.T) {
	f := open(t)
	file := large(t)
	id := f.create(t, file).GetUploadId()
	stream := f.stream(t, within(t), id, 0)
	sendAll(stream, file[:1000])
	f.committed(t, id, 1000)
	f.exec(t, `UPDATE uploads SET expires_us = 1`)
	if err := f.svc.Uploads.Tidy(within(t)); err != nil {
		t.Fatal(err)
	}
	_, err := stream.CloseAndRecv()
	wantFault(t, err, codes.Aborted, "")
	eventually(t, "its bytes are removed", func() bool {
		if err := f.images.Settle(within(t), f.svc.Store.Fate); err != nil {
			t.Error(err)
		}
		incoming, _ := f.files(t)
		return len(incoming) == 0
	})
}

func TestOpenUploadsAreBounded(t *testing.T) {
	f := open(t)
	var last string
	for range limits.Open {
		up, err := f.client.CreateUpload(within(t), &dicompb.CreateUploadRequest{Size: 1000, PatientId: "s-01"})
		if err != nil {
			t.Fatal(err)
		}
		last = up.GetUploadId()
	}
	_, err := f.client.CreateUpload(within(t), &dicompb.CreateUploadRequest{Size: 1000, PatientId: "s-01"})
	if got := wantFault(t, err, codes.ResourceExhausted, ""); got.Reason != fault.ReasonOverloaded || got.RetryAfter == 0 {
		t.Errorf("told %v", err)
	}
	if _, err := f.client.AbortUpload(within(t), &dicompb.AbortUploadRequest{UploadId: last}); err != nil {
		t.Fatal(err)
	}
	f.create(t, large(t))
}

// A project's quota counts what is stored and what open uploads will be, for
// uploads of both kinds.
func TestQuota(t *testing.T) {
	small := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01"})
	file := large(t)
	bounded := limits
	bounded.Quota = int64(2*len(file) + len(small))
	f := openAt(t, t.TempDir(), open(t).registry, bounded)
	over := func(err error) {
		t.Helper()
		if got := wantFault(t, err, codes.ResourceExhausted, ""); got.Reason != fault.ReasonQuotaExceeded {
			t.Errorf("told %v", err)
		}
	}
	a, b := f.create(t, file), f.create(t, file)
	f.send(t, &dicompb.FileInfo{PatientId: "s-01"}, small)
	_, err := f.client.CreateUpload(within(t), &dicompb.CreateUploadRequest{Size: 1, PatientId: "s-01"})
	over(err)
	next := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", Seed: 7})
	_, err = f.upload(within(t), &dicompb.FileInfo{PatientId: "s-01"}, next) // Refused before its bytes.
	over(err)
	_, err = f.upload(within(t), &dicompb.FileInfo{}, next) // The header tells whose it is.
	over(err)
	f.send(t, &dicompb.FileInfo{}, small) // It is there already.
	if _, err := f.client.CreateUpload(within(t), &dicompb.CreateUploadRequest{Size: 1}); err != nil {
		t.Errorf("of no project yet: %v", err)
	}
	resp, err := f.part(t, a.GetUploadId(), file, 0, len(file)) // What was promised is kept.
	f.wantComplete(t, a.GetUploadId(), file, resp, err)
	if _, err := f.client.AbortUpload(within(t), &dicompb.AbortUploadRequest{UploadId: b.GetUploadId()}); err != nil {
		t.Fatal(err)
	}
	f.send(t, &dicompb.FileInfo{}, next)
	f.wantImages(t, 3)
}

// The disk's room is promised to the open uploads.
func TestRoomIsPromised(t *testing.T) {
	f := open(t)
	var free syscall.Statfs_t
	if err := syscall.Statfs(f.dir, &free); err != nil {
		t.Fatal(err)
	}
	room := free.Bavail * uint64(free.Bsize)
	f.exec(t, `INSERT INTO uploads (upload_id, actor, project_id, patient_id, size, sha256, file_name, client_record_id, state,
 committed, hash_state, epoch, created_us, expires_us, ended_us, answer, refusal)
 VALUES ('much', 'x', 'q', '', $1, '', '', '', 'OPEN', 1000, '', 0, 0, 0, 0, '', '')`, int64(room))
	size := uint64(1 << 30)
	_, err := f.client.CreateUpload(within(t), &dicompb.CreateUploadRequest{Size: size})
	if got := wantFault(t, err, codes.ResourceExhausted, ""); got.Reason != fault.ReasonStorageFull {
		t.Errorf("told %v", err)
	}
	_, err = f.upload(within(t), &dicompb.FileInfo{Size: &size}, nil)
	if got := wantFault(t, err, codes.ResourceExhausted, ""); got.Reason != fault.ReasonStorageFull {
		t.Errorf("told %v", err)
	}
	f.exec(t, `UPDATE uploads SET committed = size`)
	if _, err := f.client.CreateUpload(within(t), &dicompb.CreateUploadRequest{Size: 1000}); err != nil {
		t.Errorf("when all have come: %v", err)
	}
}

// A disk that fills in the middle keeps what is committed, to be gone on with.
func TestUploadGoesOnAfterFullDisk(t *testing.T) {
	f := open(t)
	file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", Rows: 1024, Columns: 1024, Frames: 20})
	id := f.create(t, file).GetUploadId()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: fullAt, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := f.part(t, id, file, 0, len(file))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if got := wantFault(t, err, codes.ResourceExhausted, ""); got.Reason != fault.ReasonStorageFull || strings.Contains(got.Message, "nothing was") {
		t.Errorf("told %v", err)
	}
	at := int(f.get(t, id).GetOffset())
	if at < fullAt-chunkBytes || at > fullAt {
		t.Errorf("%d bytes are committed", at)
	}
	resp, err := f.part(t, id, file, at, len(file))
	f.wantComplete(t, id, file, resp, err)
}

// Both replicas settle and tidy while uploads go on and plain ones come.
func TestSettlingBesideUploads(t *testing.T) {
	a := open(t)
	b := a.beside(t)
	stop, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	for _, f := range []*fixture{a, b} {
		go func() {
			var err error
			for err == nil && stop.Err() == nil {
				ctx, end := context.WithTimeout(t.Context(), time.Minute)
				err = errors.Join(f.images.Settle(ctx, f.svc.Store.Fate), f.svc.Uploads.Tidy(ctx), f.svc.Uploads.Watch(ctx))
				end()
			}
			done <- err
		}()
	}
	for n := range 10 {
		file := large(t)
		id := a.create(t, file).GetUploadId()
		for i, f := range []*fixture{a, b, a, b} {
			resp, err := f.part(t, id, file, i*500_000, min(len(file), (i+1)*500_000)) // Frames of 2 MiB: the fifth part ends it.
			if err != nil || resp.GetSuccess() {
				t.Fatal(resp, err)
			}
		}
		resp, err := b.part(t, id, file, 2_000_000, len(file))
		b.wantComplete(t, id, file, resp, err)
		a.send(t, &dicompb.FileInfo{}, synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", Seed: uint64(n)}))
	}
	cancel()
	if err := errors.Join(<-done, <-done); err != nil {
		t.Error(err)
	}
	a.wantImages(t, 20)
}
