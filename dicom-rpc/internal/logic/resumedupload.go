package logic

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc/codes"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/dicom-rpc/internal/chunks"
	"clinsource/dicom-rpc/internal/resume"
	"clinsource/dicom-rpc/internal/store"
	"clinsource/dicom-rpc/internal/svc"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
	dicompb "clinsource/proto/dicom"
)

// finishWithin bounds the judgement and storing of a whole upload, which goes on
// when its caller has left.
const finishWithin = time.Minute

// goOn takes the chunks of an upload that was created before, from its committed
// offset. However the stream ends, what came is committed; where it ends the
// file, that is judged and stored, whether or not the caller still listens.
func (l *UploadDicomLogic) goOn(stream dicompb.DicomService_UploadDicomServer, messages *chunks.Reader, info *dicompb.FileInfo) error {
	if info.GetOffset() > maxImage {
		return uploadFault(store.ErrOffset)
	}
	if _, err := findUpload(l.ctx, l.svcCtx, info.GetUploadId(), info); err != nil {
		return err
	}
	session, row, err := l.svcCtx.Uploads.Take(l.ctx, auth.UserFrom(l.ctx).Subject, info.GetUploadId(), int64(info.GetOffset()))
	if err != nil {
		return uploadFault(err)
	}
	if session == nil {
		return outcome(stream, row)
	}
	defer func() {
		if err := session.Close(); err != nil {
			logx.Errorf("close upload %s: %v", row.ID, err)
		}
	}()
	received := receiveInto(session, messages)
	resp, err := l.conclude(session, received)
	if err != nil {
		return err
	}
	return stream.SendAndClose(resp)
}

// outcome tells again how an upload ended.
func outcome(stream dicompb.DicomService_UploadDicomServer, row *store.Upload) error {
	if row.State == dicompb.UploadState_REFUSED {
		return refusalOf(row)
	}
	resp, err := answerOf(row)
	if err != nil {
		return err
	}
	return stream.SendAndClose(resp)
}

// conclude commits what came and decides what follows from it.
func (l *UploadDicomLogic) conclude(session *resume.Session, received error) (*dicompb.UploadDicomResponse, error) {
	err := session.Commit()
	row := session.Upload()
	var bad notDICOM
	switch {
	case session.TakenOver() || errors.Is(err, store.ErrTakenOver):
		return nil, uploadFault(store.ErrTakenOver)
	case errors.As(received, &bad):
		return nil, l.refuse(session, bad.refusal)
	case err != nil:
		return nil, keptFault(err)
	case row.Whole():
		return l.finish(session, &row)
	case received != nil:
		return nil, keptFault(received)
	}
	return &dicompb.UploadDicomResponse{UploadId: row.ID, Offset: uint64(row.Committed)}, nil
}

// keptFault is uploadFault where what is committed stays.
func keptFault(err error) error {
	f := fault.From(uploadFault(err))
	if f.Reason == fault.ReasonStorageFull {
		f.Message = "the storage is full; what GetUpload tells is kept, go on from there when there is room"
	}
	return f
}

// notDICOM is the refusal of a file by its first bytes.
type notDICOM struct{ refusal error }

func (e notDICOM) Error() string { return e.refusal.Error() }

// message is what one Recv gave.
type message struct {
	data *dicompb.UploadDicomRequest
	err  error
}

// receiveInto writes the chunks as they come, until the file is whole, the caller
// has sent all it wants to, or the session ends.
func receiveInto(session *resume.Session, messages *chunks.Reader) error {
	// grpc cannot be told to stop waiting for a message, so somebody else waits;
	// the end of the stream ends that.
	more, in := make(chan struct{}), make(chan message, 1)
	defer close(more)
	go func() {
		for range more {
			data, err := messages.Recv()
			in <- message{data, err}
		}
	}()
	size := session.Upload().Size
	for session.File().Size() < size {
		more <- struct{}{}
		var m message
		select {
		case m = <-in:
		case <-session.Context().Done():
			return context.Cause(session.Context())
		}
		if errors.Is(m.err, io.EOF) {
			return nil
		}
		if m.err != nil {
			return m.err
		}
		if err := takeChunk(session, m.data, size); err != nil {
			return err
		}
	}
	return nil
}

func takeChunk(session *resume.Session, msg *dicompb.UploadDicomRequest, size int64) error {
	chunk, err := chunkOf(msg)
	if err != nil {
		return err
	}
	before := session.File().Size()
	if before+int64(len(chunk)) > size {
		return refused("size", ruleSizeDiffers, "more bytes came than the upload was created for; create another for another file")
	}
	if err := session.Write(chunk); err != nil {
		return err
	}
	after := before + int64(len(chunk))
	if before >= dicomfile.PreambleSize || after < dicomfile.PreambleSize {
		return nil
	}
	start := make([]byte, dicomfile.PreambleSize)
	if _, err := session.File().ReadAt(start, 0); err != nil {
		return err
	}
	if err := checkStart(start); err != nil {
		return notDICOM{err}
	}
	return nil
}

// finish judges and stores the whole file, for the caller or for whoever asks
// next.
func (l *UploadDicomLogic) finish(session *resume.Session, row *store.Upload) (*dicompb.UploadDicomResponse, error) {
	ctx, cancel := context.WithTimeout(session.Context(), finishWithin)
	defer cancel()
	resp, err := NewUploadDicomLogic(ctx, l.svcCtx).storeWhole(session, row)
	switch {
	case err == nil:
		resume.Ended.WithLabelValues(dicompb.UploadState_COMPLETE.String()).Inc()
	case session.TakenOver():
		return nil, uploadFault(store.ErrTakenOver)
	case final(err):
		return nil, l.refuse(session, err)
	}
	return resp, err
}

// final says whether the file itself, or whose it is, was refused; anything else
// may be well when it is tried again.
func final(err error) bool {
	switch fault.From(err).Code {
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.AlreadyExists:
		return true
	}
	return false
}

func (l *UploadDicomLogic) storeWhole(session *resume.Session, row *store.Upload) (*dicompb.UploadDicomResponse, error) {
	info, file := infoOfUpload(row), session.File()
	if row.SHA256 != "" && file.Sum() != row.SHA256 {
		return nil, refused("sha256", ruleSumDiffers, "the bytes that came have another SHA-256 than declared; create another upload and send the file again")
	}
	d, err := l.judge(info, file)
	if err != nil {
		return nil, err
	}
	if err := file.Publish(); err != nil {
		return nil, keptFault(err)
	}
	now, also := l.svcCtx.Uploads.Now(), d.Also
	d.Also = func(ctx context.Context, tx *sqldb.Tx, r *records.Record) error {
		_, text, err := completeAnswer(row, r, true)
		if err != nil {
			return err
		}
		if err := also(ctx, tx, r); err != nil {
			return err
		}
		return store.CompleteUpload(ctx, tx, row, text, now)
	}
	stored, created, err := l.svcCtx.Store.Put(l.ctx, d)
	if err != nil {
		return nil, uploadFault(err)
	}
	resp, text, err := completeAnswer(row, stored, created)
	if err != nil {
		return nil, err
	}
	if !created {
		if err := l.svcCtx.Store.Complete(l.ctx, row, text, now); err != nil {
			return nil, uploadFault(err)
		}
	}
	tidyAway(file, created)
	return resp, nil
}

// tidyAway takes the upload's name away, or all of it where the image was there
// already. What fails here, Settle does.
func tidyAway(file interface {
	Keep() error
	Drop() error
	ID() string
}, created bool) {
	end := file.Drop
	if created {
		end = file.Keep
	}
	if err := end(); err != nil {
		logx.Errorf("tidy upload %s: %v", file.ID(), err)
	}
}

// refuse ends the upload with the refusal, and gives it back.
func (l *UploadDicomLogic) refuse(session *resume.Session, refusal error) error {
	ctx, cancel := context.WithTimeout(session.Context(), finishWithin)
	defer cancel()
	row := session.Upload()
	err := l.svcCtx.Store.Refuse(ctx, &row, encodeRefusal(refusal), l.svcCtx.Uploads.Now())
	if errors.Is(err, store.ErrTakenOver) {
		return uploadFault(err)
	}
	if err != nil { // The file stays whole: whoever asks next is refused then.
		logx.Errorf("refuse upload %s: %v", row.ID, err)
		return refusal
	}
	resume.Ended.WithLabelValues(dicompb.UploadState_REFUSED.String()).Inc()
	tidyAway(session.File(), false)
	return refusal
}

// infoOfUpload gives what an upload's creation said, in the terms of one stream.
func infoOfUpload(row *store.Upload) *dicompb.FileInfo {
	size := uint64(row.Size)
	return &dicompb.FileInfo{
		FileName: row.FileName, UploadId: row.ID, Size: &size, Sha256: row.SHA256,
		PatientId: row.Patient, ProjectId: row.Project, ClientRecordId: row.ClientRecordID,
	}
}

// findUpload gives the caller's upload, if they may still send images there. What
// info says of the file must be what was said when it was created.
func findUpload(ctx context.Context, svcCtx *svc.ServiceContext, id string, info *dicompb.FileInfo) (*store.Upload, error) {
	ctx, cancel := context.WithTimeout(ctx, findWithin)
	defer cancel()
	row, err := svcCtx.Store.FindUpload(ctx, auth.UserFrom(ctx).Subject, id, svcCtx.Uploads.Now())
	if err != nil {
		return nil, uploadFault(err)
	}
	// Of a patient only what the project tells: the whole file is judged with all.
	if _, err := mayUpload(ctx, svcCtx, &dicompb.FileInfo{ProjectId: row.Project}); err != nil {
		return nil, err
	}
	return row, sameInfo(info, infoOfUpload(row))
}

func sameInfo(info, created *dicompb.FileInfo) error {
	var found []fault.Violation
	add := func(differs bool, field string) {
		if differs {
			found = append(found, fault.Violation{Field: field, Rule: ruleUploadDiffers, Message: "is not what the upload was created with; leave it out"})
		}
	}
	other := func(now, then string) bool { return now != "" && now != then }
	if info == nil {
		return nil
	}
	add(info.Size != nil && info.GetSize() != created.GetSize(), "size")
	add(other(strings.ToLower(info.GetSha256()), created.GetSha256()), "sha256")
	add(other(info.GetPatientId(), created.GetPatientId()), "patient_id")
	add(other(info.GetProjectId(), created.GetProjectId()), "project_id")
	add(other(info.GetFileName(), created.GetFileName()), "file_name")
	add(other(info.GetClientRecordId(), created.GetClientRecordId()), "client_record_id")
	if len(found) > 0 {
		return fault.InvalidFields(found)
	}
	return nil
}
