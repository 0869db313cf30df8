package logic_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"google.golang.org/grpc/codes"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

func TestDownloadIsBitIdentical(t *testing.T) {
	f := open(t)
	for _, rows := range []int{1, 32, 362, 512, 1024} { // Below, around and above a chunk.
		file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", Rows: rows, Columns: rows})
		resp := f.send(t, &dicompb.FileInfo{}, file)
		image, back, err := f.download(within(t), &dicompb.DownloadDicomRequest{ImageId: resp.GetImageId(), PatientId: "s-01", ProjectId: "p"})
		if err != nil || !bytes.Equal(back, file) || image.GetSha256() != sumOf(file) {
			t.Errorf("%d rows: %d bytes back of %d, %v", rows, len(back), len(file), err)
		}
	}
}

// TestDownloadOfDamagedBytes must never hand over a whole file.
func TestDownloadOfDamagedBytes(t *testing.T) {
	f := open(t)
	for name, damage := range map[string]func(t *testing.T, path string){
		"a bit":   func(t *testing.T, path string) { corrupt(t, path) },
		"cut":     func(t *testing.T, path string) { check(t, os.Truncate(path, 1000)) },
		"missing": func(t *testing.T, path string) { check(t, os.Remove(path)) },
	} {
		for _, rows := range []int{32, 512} {
			t.Run(fmt.Sprint(name, rows), func(t *testing.T) {
				file := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01", Rows: rows, Columns: rows})
				resp := f.send(t, &dicompb.FileInfo{}, file)
				damage(t, imagePath(f, resp.GetImageId()))
				_, back, err := f.download(within(t), &dicompb.DownloadDicomRequest{ImageId: resp.GetImageId()})
				if got := wantFault(t, err, codes.DataLoss, ""); got.Reason != fault.ReasonCorrupt {
					t.Errorf("reason %s", got.Reason)
				}
				if len(back) >= len(file) {
					t.Error("all bytes were handed over")
				}
			})
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDownloadShowsOnlyWhatIsTheCallers(t *testing.T) {
	f := open(t)
	a := f.send(t, &dicompb.FileInfo{}, synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01"})).GetImageId()
	b := f.send(t, &dicompb.FileInfo{}, synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-09"})).GetImageId()
	before := f.rows(t, "audit_events")
	for _, c := range []struct {
		name, user string
		in         *dicompb.DownloadDicomRequest
		code       codes.Code
	}{
		{"no id", "", &dicompb.DownloadDicomRequest{}, codes.InvalidArgument},
		{"a path as id", "", &dicompb.DownloadDicomRequest{ImageId: "../lock"}, codes.InvalidArgument},
		{"unknown id", "", &dicompb.DownloadDicomRequest{ImageId: "none"}, codes.NotFound},
		{"another patient named", "", &dicompb.DownloadDicomRequest{ImageId: a, PatientId: "s-02"}, codes.NotFound},
		{"a project without grant named", "", &dicompb.DownloadDicomRequest{ImageId: a, ProjectId: "q"}, codes.PermissionDenied},
		{"another project of one's own named", "stranger", &dicompb.DownloadDicomRequest{ImageId: a, ProjectId: "q"}, codes.NotFound},
		{"another project's", "stranger", &dicompb.DownloadDicomRequest{ImageId: a}, codes.NotFound},
		{"another site's", "coordinator", &dicompb.DownloadDicomRequest{ImageId: b}, codes.NotFound},
		{"a role that only writes", "device", &dicompb.DownloadDicomRequest{ImageId: a}, codes.PermissionDenied},
		{"no grant at all", "nobody", &dicompb.DownloadDicomRequest{ImageId: a}, codes.PermissionDenied},
	} {
		image, back, err := f.download(as(within(t), c.user), c.in)
		if got := fault.From(err); got == nil || got.Code != c.code {
			t.Errorf("%s: %v, want %v", c.name, err, c.code)
		}
		if image != nil || back != nil {
			t.Errorf("%s: something was sent", c.name)
		}
	}
	if n := f.rows(t, "audit_events"); n != before {
		t.Errorf("%d audit rows of reads that were refused", n-before)
	}
	for _, user := range []string{"coordinator", "monitor"} {
		if _, _, err := f.download(as(within(t), user), &dicompb.DownloadDicomRequest{ImageId: a}); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
	var actor, role, record string
	check(t, f.db.QueryRow(within(t), `SELECT actor, role, record_id FROM audit_events WHERE action = 'read' ORDER BY seq LIMIT 1`).Scan(&actor, &role, &record))
	if actor != "coo" || role != "coordinator" || record != a {
		t.Errorf("the read is audited as %s, %s, %s", actor, role, record)
	}
}

func TestListImages(t *testing.T) {
	f := open(t)
	var sent []string
	for i, patient := range []string{"s-01", "s-09", "s-01", "s-02"} {
		resp := f.send(t, &dicompb.FileInfo{ClientRecordId: fmt.Sprintf("c-%d", i)}, synthetic(t, dicomfile.SyntheticSpec{PatientID: patient}))
		sent = append(sent, resp.GetImageId())
	}
	for _, c := range []struct {
		name, user string
		in         *dicompb.ListImagesRequest
		want       []int // Newest first.
	}{
		{"a patient", "", &dicompb.ListImagesRequest{PatientId: "s-01"}, []int{2, 0}},
		{"a project", "", &dicompb.ListImagesRequest{ProjectId: "p"}, []int{3, 2, 1, 0}},
		{"both", "", &dicompb.ListImagesRequest{ProjectId: "p", PatientId: "s-09"}, []int{1}},
		{"one's own sites", "coordinator", &dicompb.ListImagesRequest{ProjectId: "p"}, []int{3, 2, 0}},
		{"nothing there", "stranger", &dicompb.ListImagesRequest{ProjectId: "q"}, nil},
		{"in pages of one", "", &dicompb.ListImagesRequest{ProjectId: "p", PageSize: 1}, []int{3, 2, 1, 0}},
		{"in pages of three", "", &dicompb.ListImagesRequest{ProjectId: "p", PageSize: 3}, []int{3, 2, 1, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []*dicompb.Image
			for {
				page, err := f.client.ListImages(as(within(t), c.user), c.in)
				check(t, err)
				got = append(got, page.GetImages()...)
				if c.in.PageToken = page.GetNextPageToken(); c.in.PageToken == "" {
					break
				}
			}
			if len(got) != len(c.want) {
				t.Fatalf("%d images, want %d", len(got), len(c.want))
			}
			for i, image := range got {
				if image.GetImageId() != sent[c.want[i]] || image.GetClientRecordId() != fmt.Sprintf("c-%d", c.want[i]) || image.GetSize() == 0 {
					t.Errorf("item %d is %v", i, image)
				}
			}
		})
	}
}

func TestListAndSummaryRefuse(t *testing.T) {
	f := open(t)
	for _, c := range []struct {
		user             string
		project, patient string
		list, summary    codes.Code
	}{
		{"", "", "", codes.InvalidArgument, codes.InvalidArgument},
		{"", "a/b", "", codes.InvalidArgument, codes.InvalidArgument},
		{"", "p", "a b", codes.InvalidArgument, codes.InvalidArgument},
		{"", "q", "", codes.PermissionDenied, codes.PermissionDenied},
		{"device", "p", "", codes.PermissionDenied, codes.PermissionDenied},
		{"", "p", "s-77", codes.NotFound, codes.NotFound},
		{"coordinator", "p", "s-09", codes.NotFound, codes.NotFound},
	} {
		ctx := as(within(t), c.user)
		_, err := f.client.ListImages(ctx, &dicompb.ListImagesRequest{ProjectId: c.project, PatientId: c.patient})
		wantFault(t, err, c.list, "")
		_, err = f.client.GetImagesSummary(ctx, &dicompb.GetImagesSummaryRequest{ProjectId: c.project, PatientId: c.patient})
		wantFault(t, err, c.summary, "")
	}
	_, err := f.client.ListImages(within(t), &dicompb.ListImagesRequest{ProjectId: "p", PageToken: "x"})
	wantFault(t, err, codes.InvalidArgument, "page.token")
}

func TestGetImagesSummary(t *testing.T) {
	f := open(t)
	small := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01"})
	large := synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-09", Rows: 64, Columns: 64})
	f.send(t, &dicompb.FileInfo{}, small)
	f.send(t, &dicompb.FileInfo{}, small) // The same image.
	f.send(t, &dicompb.FileInfo{}, large)
	f.send(t, &dicompb.FileInfo{PatientId: "s-01"}, large) // Asked about.
	for _, c := range []struct {
		user, patient            string
		count, subjects, queried int64
		size                     int
	}{
		{"", "", 3, 2, 1, len(small) + 2*len(large)},
		{"", "s-01", 2, 1, 1, len(small) + len(large)},
		{"coordinator", "", 2, 1, 1, len(small) + len(large)},
		{"", "s-02", 0, 0, 0, 0},
	} {
		sum, err := f.client.GetImagesSummary(as(within(t), c.user), &dicompb.GetImagesSummaryRequest{ProjectId: "p", PatientId: c.patient})
		check(t, err)
		if sum.GetCount() != c.count || sum.GetSubjects() != c.subjects || sum.GetQueried() != c.queried || sum.GetSize() != uint64(c.size) ||
			(sum.GetNewestTime() != nil) != (c.count > 0) {
			t.Errorf("summary of %q by %q: %v", c.patient, c.user, sum)
		}
	}
}
