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

// UploadDicom takes one file as it comes, judges it and stores it once. What it
// can refuse without the bytes it refuses before them.
func (l *UploadDicomLogic) UploadDicom(stream dicompb.DicomService_UploadDicomServer) error {
	messages := chunks.NewReader(stream)
	info, err := infoOf(messages)
	if err != nil {
		return err
	}
	if err := l.mayUpload(info); err != nil {
		return err
	}
	upload, err := l.svcCtx.Images.Create(info.GetSize())
	if err != nil {
		return blobFault(err)
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
// the study's date, else whether the user may send images at all.
func (l *UploadDicomLogic) mayUpload(info *dicompb.FileInfo) error {
	switch {
	case info.GetPatientId() != "":
		_, _, err := subjects.Admit(l.ctx, l.svcCtx.Subjects, auth.Write, auth.Images, info.GetProjectId(), info.GetPatientId())
		return err
	case info.GetProjectId() != "":
		_, err := subjects.InProject(l.ctx, auth.Write, auth.Images, info.GetProjectId())
		return err
	default:
		return inAnyProject(l.ctx, auth.Write)
	}
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
			return blobFault(err)
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
	header, err := dicomfile.Scan(l.ctx, upload, upload.Size(), dicomfile.Limits{})
	if err != nil {
		return nil, scanFault(err)
	}
	patient, err := patientOf(info, header)
	if err != nil {
		return nil, err
	}
	place, scope, err := subjects.Admit(l.ctx, l.svcCtx.Subjects, auth.Write, auth.Images, info.GetProjectId(), patient)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	dated, field := datedBy(header, now)
	if err := place.RefuseAfter(dated, field); err != nil {
		return nil, err
	}
	if err := upload.Publish(); err != nil {
		return nil, blobFault(err)
	}
	d := draft(info, upload, header, patient, place)
	d.Role, d.Dated = scope.Role, dated
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
		Tallies:    map[string]int64{tallyBytes: upload.Size()},
	}
	d.Content = contentOf(info, upload, header)
	d.Prepare = func(ctx context.Context, tx *sqldb.Tx, r *records.Record) error {
		return judgeInstance(ctx, tx, r, header.SOPInstanceUID)
	}
	d.Also = func(ctx context.Context, tx *sqldb.Tx, r *records.Record) error {
		return rememberInstance(ctx, tx, r, header.SOPInstanceUID)
	}
	return d
}
