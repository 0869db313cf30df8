package logic_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/dicom-rpc/internal/store"
	"clinsource/internal/subjects"
	dicompb "clinsource/proto/dicom"
	recordpb "clinsource/proto/record"
)

// TestSameBytesAreTheSameImage sends one file again and again, under all kinds of
// names: it stays one image, and a name stays with it.
func TestSameBytesAreTheSameImage(t *testing.T) {
	f := open(t)
	file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01"})
	other := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01"})
	first := f.send(t, &dicompb.FileInfo{ClientRecordId: "one"}, file)
	for _, id := range []string{"one", "", "two", "two", "one"} {
		again := f.send(t, &dicompb.FileInfo{ClientRecordId: id, FileName: "again.dcm"}, file)
		if again.GetImageId() != first.GetImageId() || again.GetCreated() || !again.GetSuccess() || again.GetSha256() != first.GetSha256() {
			t.Errorf("sent again as %q: %v", id, again)
		}
	}
	for _, id := range []string{"one", "two"} {
		_, err := f.upload(within(t), &dicompb.FileInfo{ClientRecordId: id}, other)
		wantFault(t, err, codes.AlreadyExists, "")
		_, err = f.upload(within(t), &dicompb.FileInfo{ClientRecordId: id, PatientId: "s-02"}, file)
		wantFault(t, err, codes.AlreadyExists, "")
	}
	f.wantImages(t, 1)
	if got := f.send(t, &dicompb.FileInfo{ClientRecordId: "three"}, other); !got.GetCreated() {
		t.Error("a refused name took the content with it")
	}
	f.wantImages(t, 2)
}

func TestSameBytesOfAnotherSubjectAreAnotherImage(t *testing.T) {
	f := open(t)
	file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01"})
	one := f.send(t, &dicompb.FileInfo{PatientId: "s-01"}, file)
	two := f.send(t, &dicompb.FileInfo{PatientId: "s-02"}, file)
	if one.GetImageId() == two.GetImageId() || !two.GetCreated() {
		t.Error("two subjects share an image")
	}
	if rules(two.GetFindings()) != "dicom.patient_differs dicom.sop_instance_reused" {
		t.Errorf("findings %s", rules(two.GetFindings()))
	}
	f.wantImages(t, 2)
}

func TestSOPInstanceReused(t *testing.T) {
	f := open(t)
	uid := dicomfile.NewUID()
	one := f.send(t, &dicompb.FileInfo{}, synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", InstanceUID: uid}))
	two := f.send(t, &dicompb.FileInfo{}, synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", InstanceUID: uid, Seed: 1}))
	if len(one.GetFindings()) != 0 || rules(two.GetFindings()) != "dicom.sop_instance_reused" || one.GetImageId() == two.GetImageId() {
		t.Errorf("findings %v and %v", one.GetFindings(), two.GetFindings())
	}
	if two.GetFindings()[0].GetSeverity() != recordpb.Severity_QUERY {
		t.Error("nobody is asked")
	}
	f.wantImages(t, 2)
}

// TestIdenticalUploadsAtOnce sends one file from many callers at once.
func TestIdenticalUploadsAtOnce(t *testing.T) {
	f := open(t)
	file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", Rows: 256, Columns: 256})
	const callers = 8
	answers := make([]*dicompb.UploadDicomResponse, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { answers[i] = f.send(t, &dicompb.FileInfo{ClientRecordId: []string{"", "a", "b"}[i%3]}, file) })
	}
	wg.Wait()
	created := 0
	for _, a := range answers {
		if a.GetImageId() != answers[0].GetImageId() {
			t.Error("several images")
		}
		if a.GetCreated() {
			created++
		}
	}
	if created != 1 {
		t.Errorf("%d callers were told that they created it", created)
	}
	f.wantImages(t, 1)
	_, back, err := f.download(within(t), &dicompb.DownloadDicomRequest{ImageId: answers[0].GetImageId()})
	if err != nil || !slices.Equal(back, file) {
		t.Errorf("the image is not whole: %v", err)
	}
}

// TestUploadWhileTheRegistryIsAway marks what is taken on a last known answer, and
// rechecks it by the study's day, not by the receipt.
func TestUploadWhileTheRegistryIsAway(t *testing.T) {
	f := open(t)
	send := func(patient string, studied time.Time) {
		f.registry.set(patient, subjects.Place{Project: "p", Site: "a", Stale: true})
		f.send(t, &dicompb.FileInfo{}, synthetic(t, dicomfile.SyntheticSpec{PatientID: patient, StudyDate: studied}))
		f.registry.set(patient, subjects.Place{Project: "p", Site: "a", Withdrawn: withdrawal}) // Learnt later.
	}
	send("before", withdrawal.AddDate(0, 0, -1))
	send("same-day", withdrawal)
	send("after", withdrawal.AddDate(0, 0, 1))
	if err := store.New(f.db).RecheckOnce(within(t), f.registry); err != nil {
		t.Fatal(err)
	}
	for patient, want := range map[string]string{"before": "", "same-day": "", "after": "subject.recheck_failed"} {
		list, err := f.client.ListImages(within(t), &dicompb.ListImagesRequest{PatientId: patient})
		if err != nil || len(list.GetImages()) != 1 || rules(list.GetImages()[0].GetFindings()) != want {
			t.Errorf("%s: %v, %v, want the finding %q", patient, list, err, want)
		}
	}
}
