package logic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/dicom-rpc/internal/blob"
	"clinsource/dicom-rpc/internal/chunks"
	"clinsource/dicom-rpc/internal/store"
	"clinsource/dicom-rpc/internal/svc"
	"clinsource/internal/auth"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	"clinsource/internal/subjects"
	dicompb "clinsource/proto/dicom"
)

const (
	maxChunk = 1 << 20  // Bytes of one message.
	maxImage = 16 << 30 // Bytes of one file.
	// storeWithin bounds the writing of the row: a stream need not have a deadline,
	// and the database wants one.
	storeWithin = 30 * time.Second
)

// UploadDicomLogic does one UploadDicom call.
type UploadDicomLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewUploadDicomLogic makes the logic of one call.
func NewUploadDicomLogic(ctx context.Context, svcCtx *svc.ServiceContext) *UploadDicomLogic {
	return &UploadDicomLogic{ctx: ctx, svcCtx: svcCtx}
}

// UploadDicom takes one file as it comes, or goes on with one; it judges the whole
// and stores it once. What it can refuse without the bytes it refuses before them.
func (l *UploadDicomLogic) UploadDicom(stream dicompb.DicomService_UploadDicomServer) error {
	messages := chunks.NewReader(stream)
	info, err := infoOf(messages)
	if err != nil {
		return err
	}
	if info.GetUploadId() != "" {
		return l.goOn(stream, messages, info)
	}
	project, err := mayUpload(l.ctx, l.svcCtx, info)
	if err != nil {
		return err
	}
	if err := l.roomFor(project, info.GetSize()); err != nil {
		return uploadFault(err)
	}
	upload, err := l.svcCtx.Images.Create()
	if err != nil {
		return uploadFault(err)
	}
	defer func() { // Whatever fails, panics included, leaves nothing behind.
		if err := upload.Close(); err != nil {
			logx.Errorf("close upload %s: %v", upload.ID(), err)
		}
	}()
	if err := receive(messages, info, upload); err != nil {
		return err
	}
	resp, err := l.store(info, upload)
	if err != nil {
		return err
	}
	return stream.SendAndClose(resp)
}

// mayUpload decides as much as is known before the file: with a patient all but
// the study's date, else whether the user may send images at all. It gives the
// project, if that is known.
func mayUpload(ctx context.Context, svcCtx *svc.ServiceContext, info *dicompb.FileInfo) (project string, err error) {
	switch {
	case info.GetPatientId() != "":
		place, _, err := subjects.Admit(ctx, svcCtx.Subjects, auth.Write, auth.Images, info.GetProjectId(), info.GetPatientId())
		return place.Project, err
	case info.GetProjectId() != "":
		_, err := subjects.InProject(ctx, auth.Write, auth.Images, info.GetProjectId())
		return info.GetProjectId(), err
	default:
		return "", inAnyProject(ctx, auth.Write)
	}
}

// roomFor refuses before its bytes what the disk or the project's quota has no
// room for.
func (l *UploadDicomLogic) roomFor(project string, size uint64) error {
	ctx, cancel := context.WithTimeout(l.ctx, storeWithin)
	defer cancel()
	if err := l.svcCtx.Uploads.Room(ctx, size); err != nil || project == "" {
		return err
	}
	return store.WithinQuota(ctx, l.svcCtx.Store.DB(), project, int64(max(1, size)), l.svcCtx.Uploads.Limits().Quota, "")
}

// receive writes the chunks as they come, until the caller has sent all.
func receive(messages *chunks.Reader, info *dicompb.FileInfo, upload *blob.Upload) error {
	start := make([]byte, 0, dicomfile.PreambleSize)
	for {
		msg, err := messages.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		chunk, err := chunkOf(msg)
		if err != nil {
			return err
		}
		if missing := dicomfile.PreambleSize - len(start); missing > 0 {
			start = append(start, chunk[:min(missing, len(chunk))]...)
			if err := checkStart(start); err != nil {
				return err
			}
		}
		if err := checkGrown(info, uint64(upload.Size())+uint64(len(chunk))); err != nil {
			return err
		}
		if _, err := upload.Write(chunk); err != nil {
			return uploadFault(err)
		}
	}
	return checkWhole(info, upload)
}

// checkStart refuses what is not DICOM as soon as that can be seen.
func checkStart(start []byte) error {
	if len(start) < dicomfile.PreambleSize {
		return nil // More to come, or else the scan refuses it.
	}
	return scanFault(dicomfile.CheckPreamble(start))
}

// checkGrown refuses a file as soon as it is larger than declared or allowed.
func checkGrown(info *dicompb.FileInfo, size uint64) error {
	switch {
	case size > maxImage:
		return refused("size", ruleTooLarge, tooLarge)
	case info.Size != nil && size > info.GetSize():
		return refused("size", ruleSizeDiffers, "more bytes came than size declares; send the file's own size")
	}
	return nil
}

func checkWhole(info *dicompb.FileInfo, upload *blob.Upload) error {
	switch {
	case info.Size != nil && uint64(upload.Size()) != info.GetSize():
		return refused("size", ruleSizeDiffers,
			fmt.Sprintf("%d bytes came of %d that size declares; send the whole file", upload.Size(), info.GetSize()))
	case info.GetSha256() != "" && upload.Sum() != strings.ToLower(info.GetSha256()):
		return refused("sha256", ruleSumDiffers, "the bytes that came have another SHA-256 than declared; send the file again")
	}
	return nil
}

// store judges the whole file, makes it durable, and then visible.
func (l *UploadDicomLogic) store(info *dicompb.FileInfo, upload *blob.Upload) (*dicompb.UploadDicomResponse, error) {
	d, err := l.judge(info, upload)
	if err != nil {
		return nil, err
	}
	if err := upload.Publish(); err != nil {
		return nil, uploadFault(err)
	}
	ctx, cancel := context.WithTimeout(l.ctx, storeWithin)
	defer cancel()
	stored, created, err := l.svcCtx.Store.Put(ctx, d)
	if err != nil {
		if errors.Is(err, sqldb.ErrOutcomeUnknown) {
			err = errors.Join(err, upload.Leave())
		}
		return nil, err
	}
	if created {
		if err := upload.Keep(); err != nil { // The image is there; Settle tidies up.
			logx.Errorf("keep upload %s: %v", upload.ID(), err)
		}
	}
	return answer(stored, created)
}

// judge looks at the whole file and makes its record.
func (l *UploadDicomLogic) judge(info *dicompb.FileInfo, upload *blob.Upload) (records.Draft, error) {
	var d records.Draft
	header, err := dicomfile.Scan(l.ctx, upload, upload.Size(), dicomfile.Limits{})
	if err != nil {
		return d, scanFault(err)
	}
	patient, err := patientOf(info, header)
	if err != nil {
		return d, err
	}
	place, scope, err := subjects.Admit(l.ctx, l.svcCtx.Subjects, auth.Write, auth.Images, info.GetProjectId(), patient)
	if err != nil {
		return d, err
	}
	dated, field := datedBy(header, time.Now())
	if err := place.Refuse(auth.Images, dated, field); err != nil {
		return d, err
	}
	d = draft(info, upload, header, patient, place)
	d.Role, d.Dated = scope.Role, dated
	d.Prepare = func(ctx context.Context, tx *sqldb.Tx, r *records.Record) error {
		quota := l.svcCtx.Uploads.Limits().Quota
		if err := store.WithinQuota(ctx, tx, r.Project, upload.Size(), quota, upload.ID()); err != nil {
			return uploadFault(err)
		}
		return judgeInstance(ctx, tx, r, header.SOPInstanceUID)
	}
	return d, nil
}

// datedBy gives the time that is held against a withdrawal, and what it is
// called: the last moment before the study's day in UTC, so that a study of the
// withdrawal's own day still counts as before; without a date the receipt.
func datedBy(header dicomfile.Header, received time.Time) (time.Time, string) {
	if header.StudyDateOK {
		return header.StudyDay.Add(-time.Microsecond), "the study date (0008,0020)"
	}
	return received, "the time of receipt, which counts where there is no study date,"
}

// draft is the record of the file, with the checks that need the database.
func draft(info *dicompb.FileInfo, upload *blob.Upload, header dicomfile.Header, patient string, place subjects.Place) records.Draft {
	d := records.Draft{
		Record: records.Record{
			Project: place.Project, Site: place.Site, Patient: patient, ID: upload.ID(), ClientRecordID: info.GetClientRecordId(),
			Findings: findingsOf(info, header, place),
		},
		Hash:       records.HashOf([]byte(patient), []byte(upload.Sum())),
		ByContent:  true,
		Unverified: place.Stale,
		Tallies:    map[string]int64{store.TallyBytes: upload.Size()},
		Keys:       []string{store.ProjectKey(place.Project)},
	}
	d.Content = contentOf(info, upload, header)
	d.Also = func(ctx context.Context, tx *sqldb.Tx, r *records.Record) error {
		return rememberInstance(ctx, tx, r, header.SOPInstanceUID)
	}
	return d
}
