package handler

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	tusd "github.com/tus/tusd/v2/pkg/handler"

	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

var (
	_ tusd.DataStore           = (*tusCall)(nil)
	_ tusd.TerminaterDataStore = (*tusCall)(nil)
	_ tusd.Upload              = (*tusCall)(nil)
	_ tusd.TerminatableUpload  = (*tusCall)(nil)
)

// fail decides in whose terms an error is told: tusd's where the protocol has an
// answer of its own, else as a problem.
func (t *tusCall) fail(err error) error {
	switch f := fault.From(err); f.Reason {
	case fault.ReasonUploadNotFound:
		return tusd.ErrNotFound
	case fault.ReasonUploadOffset:
		return tusd.ErrMismatchOffset
	default:
		t.refusal = f
		return f
	}
}

// NewUpload begins an upload, or finds the one to go on with.
func (t *tusCall) NewUpload(_ context.Context, info tusd.FileInfo) (tusd.Upload, error) {
	ctx, cancel := t.c.within(t.c.svcCtx.Budgets.Write)
	defer cancel()
	t.asked.Size = uint64(info.Size)
	upload, err := t.c.svcCtx.DicomRpc.CreateUpload(ctx, t.asked)
	if err != nil {
		return nil, t.fail(err)
	}
	t.saw(upload)
	return t, nil
}

// GetUpload looks an upload up; one that has ended without an image is gone.
func (t *tusCall) GetUpload(_ context.Context, id string) (tusd.Upload, error) {
	ctx, cancel := t.c.within(t.c.svcCtx.Budgets.Images)
	defer cancel()
	upload, err := t.c.svcCtx.DicomRpc.GetUpload(ctx, &dicompb.GetUploadRequest{UploadId: id})
	if err != nil {
		return nil, t.fail(err)
	}
	t.saw(upload)
	if gone, ended := goneBecause[upload.GetState()]; ended {
		why := gone.why
		if upload.GetRefusal() != "" {
			why += ": " + upload.GetRefusal()
		}
		return nil, tusd.NewError(gone.code, why, http.StatusGone)
	}
	return t, nil
}

// goneBecause says of an upload that has ended without an image what became of it.
var goneBecause = map[dicompb.UploadState]struct{ code, why string }{
	dicompb.UploadState_REFUSED: {"ERR_UPLOAD_REFUSED", "the image was refused and nothing was kept"},
	dicompb.UploadState_ABORTED: {"ERR_UPLOAD_ABORTED", "the upload was given up and nothing was kept"},
	dicompb.UploadState_EXPIRED: {"ERR_UPLOAD_EXPIRED", "the upload made no progress for too long and nothing was kept"},
}

// saw takes over what dicom-rpc tells of the upload.
func (t *tusCall) saw(upload *dicompb.Upload) {
	t.upload = upload
	if upload.GetState() == dicompb.UploadState_COMPLETE {
		t.image = upload.GetImage()
		upload.Offset = upload.GetSize()
	}
}

// GetInfo gives the upload in tusd's terms. Bytes that are all there and not yet
// judged are judged first: an offset that is the length says that the image is
// visible.
func (t *tusCall) GetInfo(context.Context) (tusd.FileInfo, error) {
	if t.image == nil && t.upload.GetOffset() == t.upload.GetSize() {
		if err := t.finish(); err != nil {
			return tusd.FileInfo{}, err
		}
	}
	info := tusd.FileInfo{
		ID: t.upload.GetUploadId(), Size: int64(t.upload.GetSize()), Offset: int64(t.upload.GetOffset()),
		MetaData: tusd.MetaData{},
	}
	if t.withBytes() { // It is complete before a byte was looked at: what came along is passed over.
		info.Offset = 0
	}
	for key, value := range map[string]string{
		metaFileName: t.upload.GetFileName(), metaSha256: t.upload.GetSha256(),
		metaPatient: t.upload.GetPatientId(), metaProject: t.upload.GetProjectId(),
	} {
		if value != "" {
			info.MetaData[key] = value
		}
	}
	return info, nil
}

// withBytes says whether the request begins an upload and brings bytes of it,
// and the image was found to be there already.
func (t *tusCall) withBytes() bool {
	return t.image != nil && t.c.r.Method == http.MethodPost && t.c.r.Header.Get("Content-Type") == chunkType
}

// GetReader is not offered: no route leads to it. Images are read by their id.
func (t *tusCall) GetReader(context.Context) (io.ReadCloser, error) {
	return nil, tusd.ErrNotImplemented
}

// AsTerminatableUpload gives the upload as one that can be given up.
func (t *tusCall) AsTerminatableUpload(tusd.Upload) tusd.TerminatableUpload { return t }

// Terminate gives the upload up. Of one that is complete the image stays.
func (t *tusCall) Terminate(context.Context) error {
	ctx, cancel := t.c.within(t.c.svcCtx.Budgets.Write)
	defer cancel()
	upload, err := t.c.svcCtx.DicomRpc.AbortUpload(ctx, &dicompb.AbortUploadRequest{UploadId: t.upload.GetUploadId()})
	if err != nil {
		return t.fail(err)
	}
	if upload.GetState() == dicompb.UploadState_COMPLETE {
		return tusd.NewError("ERR_UPLOAD_COMPLETE", "the upload is complete: its image is stored and stays", http.StatusConflict)
	}
	t.upload = nil
	return nil
}

// WriteChunk streams the body into dicom-rpc, and gives how many bytes of it are
// synced there. A body that is cut is no loss: what came of it is kept.
func (t *tusCall) WriteChunk(_ context.Context, offset int64, src io.Reader) (int64, error) {
	if t.image != nil {
		_, _ = io.Copy(io.Discard, src)
		return t.size() - offset, nil
	}
	up, err := t.open(offset)
	if err != nil {
		return 0, err
	}
	defer up.end()
	if err := up.copy(src); err != nil {
		return 0, t.fail(up.resumable(err))
	}
	if err := t.close(up); err != nil {
		return 0, err
	}
	written := int64(up.out.GetOffset()) - offset
	switch {
	case t.image != nil:
		return t.size() - offset, nil
	case t.interrupted.Load(): // tusd tells of it.
		return written, nil
	case !up.copied.Load():
		return 0, t.fail(fault.Unavailable(fault.ReasonUnavailable, "the image service stopped in the middle; ask for the offset (HEAD) and go on from there", 0))
	case errors.Is(t.body.err, os.ErrDeadlineExceeded):
		return 0, t.fail(fault.DeadlineExceeded("the body stood still for too long; ask for the offset (HEAD) and go on from there").Because(t.body.err))
	case t.body.err != nil:
		return 0, t.fail(fault.Canceled().Because(t.body.err))
	}
	return written, nil
}

func (t *tusCall) size() int64 { return int64(t.upload.GetSize()) }

// quiet is how long a body may stand still. It is less than the stream's limit, so
// that there is time to hand on what came, and to hear how much is kept.
func (t *tusCall) quiet() time.Duration { return t.c.svcCtx.Budgets.Idle * 3 / 4 }

// open begins a stream that goes on with the upload. The caller's leaving does
// not end it: what came before that is to be kept.
func (t *tusCall) open(offset int64) (*upload, error) {
	up, err := t.c.openUpload(context.WithoutCancel(t.c.r.Context()), t.quiet())
	if err != nil {
		return nil, t.fail(err)
	}
	info := &dicompb.FileInfo{UploadId: t.upload.GetUploadId(), Offset: uint64(offset)}
	if err := up.stream.Send(&dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Info{Info: info}}); err != nil {
		defer up.end()
		return nil, t.fail(up.resumable(up.result()))
	}
	return up, nil
}

// close ends a stream and waits for what dicom-rpc says of it.
func (t *tusCall) close(up *upload) error {
	up.progress(t.c.svcCtx.Budgets.Commit)
	if err := up.stream.CloseSend(); err != nil {
		return t.fail(err)
	}
	if err := up.result(); err != nil {
		return t.fail(up.resumable(err))
	}
	if up.out.GetSuccess() {
		t.image, t.upload.Offset = up.out, t.upload.GetSize()
	}
	return nil
}

// FinishUpload makes sure that a whole upload is an image.
func (t *tusCall) FinishUpload(context.Context) error {
	if t.image != nil {
		return nil
	}
	return t.finish()
}

// finish has dicom-rpc judge an upload whose bytes are all there.
func (t *tusCall) finish() error {
	up, err := t.open(t.size())
	if err != nil {
		return err
	}
	defer up.end()
	up.copied.Store(true) // There is no body.
	if err := t.close(up); err != nil {
		return err
	}
	if t.image == nil {
		return t.fail(fault.Unavailable(fault.ReasonUnavailable, "the image is not judged yet; ask again (HEAD)", 0))
	}
	return nil
}
