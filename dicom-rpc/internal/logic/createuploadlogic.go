package logic

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"

	"clinsource/dicom-rpc/internal/store"
	"clinsource/dicom-rpc/internal/svc"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	"clinsource/internal/records"
	dicompb "clinsource/proto/dicom"
)

// CreateUploadLogic does one CreateUpload call.
type CreateUploadLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewCreateUploadLogic makes the logic of one call.
func NewCreateUploadLogic(ctx context.Context, svcCtx *svc.ServiceContext) *CreateUploadLogic {
	return &CreateUploadLogic{ctx: ctx, svcCtx: svcCtx}
}

// CreateUpload begins an upload: it refuses what can be refused without the bytes
// and reserves their room. Bytes that the subject has already need not be sent.
func (l *CreateUploadLogic) CreateUpload(in *dicompb.CreateUploadRequest) (*dicompb.Upload, error) {
	info, err := createdInfo(in)
	if err != nil {
		return nil, err
	}
	project, err := mayUpload(l.ctx, l.svcCtx, info)
	if err != nil {
		return nil, err
	}
	row, err := l.row(info, project)
	if err != nil {
		return nil, err
	}
	if row, err = l.add(row, in.GetResume()); err != nil {
		return nil, uploadFault(err)
	}
	return uploadOut(row)
}

// createdInfo gives the request in the terms of one stream, checked.
func createdInfo(in *dicompb.CreateUploadRequest) (*dicompb.FileInfo, error) {
	info := &dicompb.FileInfo{
		FileName: in.GetFileName(), FileType: in.GetFileType(), Size: &in.Size, Sha256: strings.ToLower(in.GetSha256()),
		PatientId: in.GetPatientId(), ProjectId: in.GetProjectId(), ClientRecordId: in.GetClientRecordId(),
	}
	var check ident.Checker
	check.Optional("patient_id", info.GetPatientId())
	check.Optional("project_id", info.GetProjectId())
	check.Optional("client_record_id", info.GetClientRecordId())
	if in.GetSize() == 0 {
		check = append(check, fault.Violation{Field: "size", Rule: ruleSizeMissing, Message: "is required: the bytes of the whole file"})
	}
	if in.GetResume() && in.GetSha256() == "" {
		check = append(check, fault.Violation{Field: "sha256", Rule: ruleSumMissing, Message: "is required with resume: it tells which upload"})
	}
	check = append(check, fileViolations(info)...)
	info.FileName = baseName(info.GetFileName())
	return info, check.Err()
}

// row is the upload to begin, or one that is complete already.
func (l *CreateUploadLogic) row(info *dicompb.FileInfo, project string) (*store.Upload, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	uploads := l.svcCtx.Uploads
	now := uploads.Now()
	row := &store.Upload{
		ID: id.String(), Actor: auth.UserFrom(l.ctx).Subject, Project: project, Patient: info.GetPatientId(), Size: int64(info.GetSize()),
		SHA256: info.GetSha256(), FileName: info.GetFileName(), ClientRecordID: info.GetClientRecordId(),
		State: dicompb.UploadState_OPEN, Created: now, Expires: now.Add(uploads.Limits().Expiry),
	}
	if row.Patient == "" || row.SHA256 == "" {
		return row, nil
	}
	return row, l.known(row)
}

// known completes the upload if the subject has an image of these bytes.
func (l *CreateUploadLogic) known(row *store.Upload) error {
	stored, err := l.svcCtx.Store.Known(l.ctx, records.Draft{
		Record: records.Record{Project: row.Project, Patient: row.Patient, ClientRecordID: row.ClientRecordID},
		Hash:   records.HashOf([]byte(row.Patient), []byte(row.SHA256)), ByContent: true,
	})
	if err != nil || stored == nil {
		return err
	}
	resp, text, err := completeAnswer(row, stored, false)
	if err != nil || resp.GetSize() != uint64(row.Size) { // Of another size: the whole file will tell which is wrong.
		return err
	}
	row.State, row.Committed, row.Answer = dicompb.UploadState_COMPLETE, row.Size, text
	return nil
}

func (l *CreateUploadLogic) add(row *store.Upload, resume bool) (*store.Upload, error) {
	if resume && !row.Ended() {
		same, err := l.svcCtx.Store.SameUpload(l.ctx, row)
		if !errors.Is(err, store.ErrNoUpload) {
			return same, err
		}
	}
	if !row.Ended() {
		if err := l.svcCtx.Uploads.Room(l.ctx, uint64(row.Size)); err != nil {
			return nil, err
		}
	}
	return l.svcCtx.Store.AddUpload(l.ctx, row, l.svcCtx.Uploads.Limits().Bounds, resume && !row.Ended())
}
