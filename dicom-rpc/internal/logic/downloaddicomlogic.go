package logic

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"clinsource/dicom-rpc/internal/blob"
	"clinsource/dicom-rpc/internal/svc"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	"clinsource/internal/records"
	"clinsource/internal/subjects"
	dicompb "clinsource/proto/dicom"
)

const (
	sendChunk  = 256 << 10 // Bytes of one message.
	findWithin = 10 * time.Second
)

// DownloadDicomLogic does one DownloadDicom call.
type DownloadDicomLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewDownloadDicomLogic makes the logic of one call.
func NewDownloadDicomLogic(ctx context.Context, svcCtx *svc.ServiceContext) *DownloadDicomLogic {
	return &DownloadDicomLogic{ctx: ctx, svcCtx: svcCtx}
}

// DownloadDicom sends one image's record and then its bytes.
func (l *DownloadDicomLogic) DownloadDicom(in *dicompb.DownloadDicomRequest, stream dicompb.DicomService_DownloadDicomServer) error {
	var check ident.Checker
	check.Required("image_id", in.GetImageId())
	check.Optional("patient_id", in.GetPatientId())
	check.Optional("project_id", in.GetProjectId())
	if err := check.Err(); err != nil {
		return err
	}
	image, err := l.image(in)
	if err != nil {
		return err
	}
	file, err := l.svcCtx.Images.Read(image.GetImageId())
	if errors.Is(err, blob.ErrMissing) {
		return damaged(err)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if err := stream.Send(&dicompb.DownloadDicomResponse{Data: &dicompb.DownloadDicomResponse_Image{Image: image}}); err != nil {
		return err
	}
	return sendVerified(stream, file, image)
}

// image finds the record, decides who may see it, and audits that.
func (l *DownloadDicomLogic) image(in *dicompb.DownloadDicomRequest) (*dicompb.Image, error) {
	if err := l.mayRead(in.GetProjectId()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(l.ctx, findWithin)
	defer cancel()
	r, err := l.svcCtx.Store.Find(ctx, in.GetImageId())
	if err != nil {
		return nil, err
	}
	scope, err := l.admit(in, r)
	if err != nil {
		return nil, err
	}
	if err := l.svcCtx.Store.ReadOne(ctx, scope.Role, r); err != nil {
		return nil, err
	}
	return imageOut(r)
}

// mayRead decides what can be decided without the record.
func (l *DownloadDicomLogic) mayRead(project string) error {
	if project == "" {
		return inAnyProject(l.ctx, auth.Read)
	}
	_, err := subjects.InProject(l.ctx, auth.Read, auth.Images, project)
	return err
}

// admit gives the scope that the record lies in; one that the caller may not see
// is answered like one that does not exist.
func (l *DownloadDicomLogic) admit(in *dicompb.DownloadDicomRequest, r *records.Record) (auth.Scope, error) {
	scope, ok := auth.UserFrom(l.ctx).May(auth.Read, auth.Images, r.Project)
	named := (in.GetProjectId() == "" || in.GetProjectId() == r.Project) && (in.GetPatientId() == "" || in.GetPatientId() == r.Patient)
	if !ok || !named || !scope.Covers(r.Site, r.Patient) {
		return scope, fault.NotFound(fault.ReasonRecordNotFound, "there is no such record")
	}
	return scope, nil
}

// sendVerified sends the file in chunks and compares its digest on the way. The
// last chunk leaves only when all bytes are right, so that no caller ever holds
// a whole image that is not the one that was stored.
func sendVerified(stream dicompb.DicomService_DownloadDicomServer, file io.Reader, image *dicompb.Image) error {
	digest := sha256.New()
	next, held := make([]byte, sendChunk), make([]byte, 0, sendChunk)
	for left := image.GetSize(); left > 0; {
		n, err := io.ReadFull(file, next[:min(left, sendChunk)])
		if err != nil {
			return damaged(fmt.Errorf("image %s: %d bytes are missing: %w", image.GetImageId(), left-uint64(n), err))
		}
		if err := sendBytes(stream, held); err != nil {
			return err
		}
		digest.Write(next[:n])
		left -= uint64(n)
		next, held = held[:sendChunk], next[:n]
	}
	if sum := hex.EncodeToString(digest.Sum(nil)); sum != image.GetSha256() {
		return damaged(fmt.Errorf("image %s: its digest is now %s", image.GetImageId(), sum))
	}
	return sendBytes(stream, held)
}

func sendBytes(stream dicompb.DicomService_DownloadDicomServer, chunk []byte) error {
	if len(chunk) == 0 {
		return nil
	}
	return stream.Send(&dicompb.DownloadDicomResponse{Data: &dicompb.DownloadDicomResponse_Chunk{Chunk: chunk}})
}

func damaged(cause error) error {
	return fault.DataLoss(fault.ReasonCorrupt, "the stored bytes are not the ones that were stored; report the request id").Because(cause)
}
