package logic_test

import (
	"bytes"
	"context"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/internal/fault"
	"clinsource/internal/subjects"
	dicompb "clinsource/proto/dicom"
	recordpb "clinsource/proto/record"
)

func TestUploadAnswersWhatWasStored(t *testing.T) {
	f := open(t)
	file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", InstanceUID: "1.2.3.4"})
	size := uint64(len(file))
	resp := f.send(t, &dicompb.FileInfo{
		FileName: `C:\scans\brain.dcm`, FileType: "DCM", Size: &size, Sha256: strings.ToUpper(sumOf(file)),
		PatientId: "s-01", ProjectId: "p", ClientRecordId: "scan-1",
	}, file)
	if !resp.GetSuccess() || !resp.GetCreated() || resp.GetSize() != size || resp.GetSha256() != sumOf(file) ||
		resp.GetSopInstanceUid() != "1.2.3.4" || resp.GetVersion() != 1 || resp.GetImageId() == "" ||
		resp.GetRecordId() != resp.GetImageId() || len(resp.GetFindings()) != 0 {
		t.Errorf("answer %v", resp)
	}
	f.wantImages(t, 1)

	image, back, err := f.download(within(t), &dicompb.DownloadDicomRequest{ImageId: resp.GetImageId()})
	if err != nil || !bytes.Equal(back, file) {
		t.Errorf("%d bytes back of %d, %v", len(back), len(file), err)
	}
	if image.GetFileName() != "brain.dcm" || image.GetClientRecordId() != "scan-1" || image.GetPatientId() != "s-01" ||
		image.GetProjectId() != "p" || image.GetSiteId() != "a" || image.GetSize() != size || image.GetModality() != "OT" ||
		image.GetReceivedTime().AsTime().Before(time.Now().Add(-time.Minute)) || image.GetSopInstanceUid() != "1.2.3.4" ||
		image.GetStudyInstanceUid() == "" || image.GetSeriesInstanceUid() == "" || image.GetSopClassUid() == "" ||
		image.GetTransferSyntaxUid() != "1.2.840.10008.1.2.1" {
		t.Errorf("image %v", image)
	}
}

// TestUploadInAnyChunks sends one file in chunks of the article's 1 MiB, of the
// largest and the smallest sizes, and with empty ones between.
func TestUploadInAnyChunks(t *testing.T) {
	f := open(t)
	file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", Rows: 1024, Columns: 1024})
	want := ""
	for _, sizes := range [][]int{{1 << 20}, {1, 130, 1, 0, 100}, {7, 0, 1 << 20}} {
		msgs := []*dicompb.UploadDicomRequest{infoMessage(&dicompb.FileInfo{})}
		for i, rest := 0, file; len(rest) > 0; i++ {
			n := min(sizes[i%len(sizes)], len(rest))
			if i >= 1000 { // Tiny chunks are for the beginning.
				n = min(1<<20, len(rest))
			}
			msgs = append(msgs, chunkMessage(rest[:n]))
			rest = rest[n:]
		}
		resp, err := f.raw(within(t), msgs...)
		if err != nil || resp.GetSize() != uint64(len(file)) || resp.GetSha256() != sumOf(file) {
			t.Fatalf("chunks of %v: %v, %v", sizes, resp, err)
		}
		if want == "" {
			want = resp.GetImageId()
		}
		if resp.GetImageId() != want {
			t.Errorf("chunks of %v made another image", sizes)
		}
	}
	f.wantImages(t, 1)
}

// raw sends these messages, whatever comes back, and then asks for the answer.
func (f *fixture) raw(ctx context.Context, msgs ...*dicompb.UploadDicomRequest) (*dicompb.UploadDicomResponse, error) {
	stream, err := f.client.UploadDicom(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range msgs {
		if stream.Send(m) != nil {
			break
		}
	}
	return stream.CloseAndRecv()
}

func TestUploadRefuses(t *testing.T) {
	f := open(t)
	file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01"})
	of := func(patient string) []byte { return synthetic(t, dicomfile.SyntheticSpec{PatientID: patient}) }
	size := func(n int) *uint64 { u := uint64(n); return &u }
	info := func(i *dicompb.FileInfo, file []byte) []*dicompb.UploadDicomRequest {
		return []*dicompb.UploadDicomRequest{infoMessage(i), chunkMessage(file)}
	}
	none := &dicompb.FileInfo{}
	for _, c := range []struct {
		name string
		send []*dicompb.UploadDicomRequest
		code codes.Code
		rule string
	}{
		{"nothing", nil, codes.InvalidArgument, "dicom.info_missing"},
		{"a chunk first, as the article's client", []*dicompb.UploadDicomRequest{chunkMessage(file)}, codes.InvalidArgument, "dicom.info_missing"},
		{"an empty message first", []*dicompb.UploadDicomRequest{{}}, codes.InvalidArgument, "dicom.info_missing"},
		{"info twice", []*dicompb.UploadDicomRequest{infoMessage(none), chunkMessage(file), infoMessage(none)}, codes.InvalidArgument, "dicom.info_repeated"},
		{"an empty message later", []*dicompb.UploadDicomRequest{infoMessage(none), {}}, codes.InvalidArgument, "dicom.message_empty"},
		{"a chunk over 1 MiB", info(none, make([]byte, 1<<20+1)), codes.InvalidArgument, "dicom.chunk_too_large"},
		{"a message over grpc's limit", info(none, make([]byte, 3<<20)), codes.ResourceExhausted, ""},

		{"an unknown upload_id", info(&dicompb.FileInfo{UploadId: "u", Offset: 5}, file), codes.NotFound, ""},
		{"offset", info(&dicompb.FileInfo{Offset: 5}, file), codes.InvalidArgument, "dicom.offset"},
		{"file type", info(&dicompb.FileInfo{FileType: "png"}, file), codes.InvalidArgument, "dicom.file_type"},
		{"long file name", info(&dicompb.FileInfo{FileName: strings.Repeat("x", 256)}, file), codes.InvalidArgument, "dicom.file_name"},
		{"control character", info(&dicompb.FileInfo{FileName: "a\nb"}, file), codes.InvalidArgument, "dicom.file_name"},
		{"declared too large", info(&dicompb.FileInfo{Size: size(16<<30 + 1)}, file), codes.InvalidArgument, "dicom.too_large"},
		{"malformed digest", info(&dicompb.FileInfo{Sha256: "zz"}, file), codes.InvalidArgument, "dicom.sha256_malformed"},
		{"malformed patient", info(&dicompb.FileInfo{PatientId: "../x"}, file), codes.InvalidArgument, "identifier.malformed"},
		{"malformed project", info(&dicompb.FileInfo{ProjectId: "a/b"}, file), codes.InvalidArgument, "identifier.malformed"},
		{"malformed client id", info(&dicompb.FileInfo{ClientRecordId: "a b"}, file), codes.InvalidArgument, "identifier.malformed"},

		{"fewer bytes than declared", info(&dicompb.FileInfo{Size: size(len(file) + 1)}, file), codes.InvalidArgument, "dicom.size_differs"},
		{"more bytes than declared", info(&dicompb.FileInfo{Size: size(len(file) - 1)}, file), codes.InvalidArgument, "dicom.size_differs"},
		{"declared empty", info(&dicompb.FileInfo{Size: size(0)}, file), codes.InvalidArgument, "dicom.size_differs"},
		{"another digest", info(&dicompb.FileInfo{Sha256: sumOf(nil)}, file), codes.InvalidArgument, "dicom.sha256_differs"},
		{"no bytes", info(none, nil), codes.InvalidArgument, "dicom.not_part10"},
		{"no DICOM", info(none, make([]byte, 500)), codes.InvalidArgument, "dicom.not_part10"},
		{"cut short", info(none, file[:len(file)-2]), codes.InvalidArgument, "dicom.truncated"},

		{"unknown patient", info(&dicompb.FileInfo{PatientId: "s-77"}, file), codes.NotFound, ""},
		{"unknown patient in the header", info(none, of("s-77")), codes.NotFound, ""},
		{"no code in the header", info(none, of("DOE^JOHN")), codes.NotFound, ""},
		{"no patient at all", info(none, of("")), codes.InvalidArgument, "dicom.patient_missing"},
		{"another project's patient", info(&dicompb.FileInfo{PatientId: "x-01"}, file), codes.NotFound, ""},
		{"another project's patient in the header", info(&dicompb.FileInfo{ProjectId: "p"}, of("x-01")), codes.NotFound, ""},
		{"a project without grant", info(&dicompb.FileInfo{ProjectId: "q"}, file), codes.PermissionDenied, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := f.raw(within(t), c.send...)
			wantFault(t, err, c.code, c.rule)
			if strings.Contains(err.Error(), "DOE") || strings.Contains(err.Error(), "s-77") {
				t.Errorf("the error tells the patient: %v", err)
			}
		})
	}
	f.wantImages(t, 0)
}

// TestUploadRefusesEarly sends what can be refused, and then no more: the answer
// must come without the rest of the file.
func TestUploadRefusesEarly(t *testing.T) {
	f := open(t)
	file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01"})
	for _, c := range []struct {
		name string
		user string
		info *dicompb.FileInfo
		then []byte
		code codes.Code
	}{
		{"a role that reads", "monitor", &dicompb.FileInfo{}, nil, codes.PermissionDenied},
		{"no grant at all", "nobody", &dicompb.FileInfo{}, nil, codes.PermissionDenied},
		{"a role that reads, in the project", "monitor", &dicompb.FileInfo{ProjectId: "p"}, nil, codes.PermissionDenied},
		{"an unknown patient", "", &dicompb.FileInfo{PatientId: "s-77"}, nil, codes.NotFound},
		{"another site's patient", "coordinator", &dicompb.FileInfo{PatientId: "s-09"}, nil, codes.NotFound},
		{"no DICOM", "", &dicompb.FileInfo{}, make([]byte, 132), codes.InvalidArgument},
		{"more than declared", "", &dicompb.FileInfo{Size: new(uint64)}, file, codes.InvalidArgument},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(as(within(t), c.user))
			defer cancel()
			stream, err := f.client.UploadDicom(ctx)
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.Send(infoMessage(c.info))
			if c.then != nil {
				_ = stream.Send(chunkMessage(c.then))
			}
			var resp dicompb.UploadDicomResponse
			wantFault(t, stream.RecvMsg(&resp), c.code, "") // Without CloseSend.
		})
	}
	f.wantImages(t, 0)
}

func TestUploadByOtherRoles(t *testing.T) {
	f := open(t)
	for _, c := range []struct {
		user, patient string
		code          codes.Code
	}{
		{"device", "s-01", codes.OK},
		{"coordinator", "s-02", codes.OK},
		{"coordinator", "s-09", codes.NotFound},
		{"stranger", "s-01", codes.NotFound},
	} {
		_, err := f.upload(as(within(t), c.user), &dicompb.FileInfo{}, synthetic(t, dicomfile.SyntheticSpec{PatientID: c.patient}))
		if got := fault.From(err); (got == nil) != (c.code == codes.OK) || got != nil && got.Code != c.code {
			t.Errorf("%s for %s: %v, want %v", c.user, c.patient, err, c.code)
		}
	}
	f.wantImages(t, 2)
}

func TestUploadAfterWithdrawal(t *testing.T) {
	f := open(t)
	f.registry.set("early", subjects.Place{Project: "p", Site: "a", Withdrawn: time.Now().Add(time.Hour)})
	f.registry.set("midnight", subjects.Place{Project: "p", Site: "a", Withdrawn: withdrawal.Truncate(24 * time.Hour)})
	day := func(days int) time.Time { return withdrawal.AddDate(0, 0, days) }
	stored := 0
	for _, c := range []struct {
		name, patient string
		studied       time.Time
		code          codes.Code
		finding       string
	}{
		{"the day before", "gone", day(-1), codes.OK, ""},
		{"the same day", "gone", day(0), codes.OK, "dicom.study_on_withdrawal_day"},
		{"the day after", "gone", day(1), codes.FailedPrecondition, ""},
		{"no date", "gone", time.Time{}, codes.FailedPrecondition, ""},
		{"no date, withdrawal to come", "early", time.Time{}, codes.OK, ""},
		{"the same day, withdrawn at midnight", "midnight", day(0), codes.OK, "dicom.study_on_withdrawal_day"},
		{"the day after, withdrawn at midnight", "midnight", day(1), codes.FailedPrecondition, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := synthetic(t, dicomfile.SyntheticSpec{PatientID: c.patient, StudyDate: c.studied})
			resp, err := f.upload(within(t), &dicompb.FileInfo{}, file)
			if c.code != codes.OK {
				wantFault(t, err, c.code, "")
				return
			}
			stored++
			if err != nil || rules(resp.GetFindings()) != c.finding {
				t.Errorf("%v, findings %s, want %q", err, rules(resp.GetFindings()), c.finding)
			}
		})
	}
	f.wantImages(t, stored)
}

func rules(findings []*recordpb.Finding) string {
	var ids []string
	for _, f := range findings {
		ids = append(ids, f.GetRuleId())
	}
	return strings.Join(ids, " ")
}

func TestUploadKeepsAndFlagsAnotherPatientsHeader(t *testing.T) {
	f := open(t)
	file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "HOSPITAL-77"})
	resp := f.send(t, &dicompb.FileInfo{PatientId: "s-01"}, file)
	if rules(resp.GetFindings()) != "dicom.patient_differs" || resp.GetFindings()[0].GetSeverity() != recordpb.Severity_QUERY {
		t.Errorf("findings %v", resp.GetFindings())
	}
	if strings.Contains(resp.String(), "HOSPITAL") {
		t.Errorf("a finding tells a value: %v", resp)
	}
	_, back, err := f.download(within(t), &dicompb.DownloadDicomRequest{ImageId: resp.GetImageId()})
	if err != nil || !bytes.Equal(back, file) {
		t.Errorf("the header was not kept: %v", err)
	}
}

// TestUploadCut ends uploads from the caller's side at several moments.
func TestUploadCut(t *testing.T) {
	f := open(t)
	file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", Rows: 512, Columns: 512})
	for _, sent := range []int{0, 1, 200, len(file)} {
		ctx, cancel := context.WithCancel(within(t))
		stream, err := f.client.UploadDicom(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(infoMessage(&dicompb.FileInfo{PatientId: "s-01"}))
		if sent > 0 {
			_ = stream.Send(chunkMessage(file[:sent]))
			f.waitIncoming(t) // The server is at it.
		}
		cancel()
		var resp dicompb.UploadDicomResponse
		wantFault(t, stream.RecvMsg(&resp), codes.Canceled, "")
	}
	f.wantImages(t, 0)
}

func (f *fixture) waitIncoming(t testing.TB) {
	t.Helper()
	for range 2000 {
		if incoming, _ := f.files(t); len(incoming) > 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the server did not begin")
}

func TestUploadOutOfTime(t *testing.T) {
	f := open(t)
	ctx, cancel := context.WithTimeout(within(t), 200*time.Millisecond)
	defer cancel()
	stream, err := f.client.UploadDicom(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(infoMessage(&dicompb.FileInfo{}))
	var resp dicompb.UploadDicomResponse
	wantFault(t, stream.RecvMsg(&resp), codes.DeadlineExceeded, "")
	f.wantImages(t, 0)
}

func TestUploadPanics(t *testing.T) {
	f := open(t)
	f.registry.mu.Lock()
	f.registry.panics = true // After the bytes: the header names the patient.
	f.registry.mu.Unlock()
	_, err := f.upload(within(t), &dicompb.FileInfo{}, synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01"}))
	wantFault(t, err, codes.Internal, "")
	f.wantImages(t, 0)
}

func TestUploadsAtOnceAreBounded(t *testing.T) {
	f := open(t)
	for range maxUploads {
		upload, err := f.images.Create()
		if err != nil {
			t.Fatal(err)
		}
		defer upload.Close()
	}
	_, err := f.upload(within(t), &dicompb.FileInfo{}, synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01"}))
	got := wantFault(t, err, codes.ResourceExhausted, "")
	if got.Reason != fault.ReasonOverloaded || got.RetryAfter == 0 {
		t.Errorf("reason %s, retry after %v", got.Reason, got.RetryAfter)
	}
}

// fullAt is the size that no file may exceed while the disk is full; the log of
// opened files that "go test" has this process write must stay below it.
const fullAt = 32 << 20

// TestUploadOnFullDisk lets the kernel refuse the file's growth.
func TestUploadOnFullDisk(t *testing.T) {
	f := open(t)
	file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", Rows: 1024, Columns: 1024, Frames: 20})
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: fullAt, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := f.upload(within(t), &dicompb.FileInfo{}, file)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if got := wantFault(t, err, codes.ResourceExhausted, ""); got.Reason != fault.ReasonStorageFull {
		t.Errorf("reason %s", got.Reason)
	}
	f.wantImages(t, 0)
	f.send(t, &dicompb.FileInfo{}, file) // There is room again.
	f.wantImages(t, 1)
}
