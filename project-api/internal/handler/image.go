package handler

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

// chunkSize is what one message of an upload carries.
const chunkSize = 256 << 10

// buffers are reused between uploads: gRPC has copied a chunk when Send returns.
var buffers = sync.Pool{New: func() any { b := make([]byte, chunkSize); return &b }}

// uploadImage streams the raw body into dicom-rpc, chunk by chunk: the gateway
// holds one chunk of it. What the caller knows of the file comes in headers:
// Content-Length, Content-Digest (sha-256), Content-Disposition (filename) and
// X-Client-Record-Id.
func uploadImage(c *call) error {
	info, err := c.fileInfo()
	if err != nil {
		return err
	}
	up, err := c.openUpload(c.r.Context(), c.svcCtx.Budgets.Idle)
	if err != nil {
		return err
	}
	defer up.end()
	if err := up.stream.Send(&dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Info{Info: info}}); err != nil {
		return up.result()
	}
	if err := up.copy(c.r.Body); err != nil {
		return err
	}
	up.progress(c.svcCtx.Budgets.Commit)
	if err := up.stream.CloseSend(); err != nil {
		return err
	}
	if err := up.result(); err != nil {
		return err
	}
	return c.answer(createdStatus(up.out), up.out)
}

func (c *call) fileInfo() (*dicompb.FileInfo, error) {
	header := c.r.Header
	if encoding := header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, fault.Invalid(fault.ReasonBodyInvalid, "an image is taken as it is, without Content-Encoding")
	}
	info := &dicompb.FileInfo{
		FileType: "dcm", PatientId: c.vars["patient_id"], ProjectId: c.vars["project_id"],
		ClientRecordId: header.Get("X-Client-Record-Id"),
	}
	if c.r.ContentLength >= 0 {
		size := uint64(c.r.ContentLength)
		info.Size = &size
	}
	if text := header.Get("Content-Disposition"); text != "" {
		_, params, err := mime.ParseMediaType(text)
		if err != nil {
			return nil, fault.InvalidFields([]fault.Violation{{Field: "Content-Disposition", Rule: "header.malformed",
				Message: `must be like attachment; filename="scan.dcm" (RFC 6266)`}})
		}
		info.FileName = params["filename"]
	}
	digest, err := sha256Of(header.Get("Content-Digest"))
	info.Sha256 = digest
	return info, err
}

// sha256Of reads the SHA-256 of an RFC 9530 Content-Digest, as hex.
func sha256Of(digest string) (string, error) {
	for _, item := range strings.Split(digest, ",") {
		value, ok := strings.CutPrefix(strings.TrimSpace(item), "sha-256=")
		if !ok {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(strings.Trim(value, ":"))
		if err != nil || len(raw) != 32 {
			return "", fault.Invalid(fault.ReasonFieldInvalid, "Content-Digest: sha-256 must be 32 bytes in base64 between colons",
				fault.Violation{Field: "Content-Digest", Rule: "digest.malformed", Message: "must be sha-256=:BASE64: (RFC 9530)"})
		}
		return hex.EncodeToString(raw), nil
	}
	return "", nil
}

// upload is one stream to dicom-rpc with an idle limit: whoever makes no
// progress for that long, the caller or the service, ends it.
type upload struct {
	c      *call
	stream dicompb.DicomService_UploadDicomClient
	cancel context.CancelCauseFunc
	ctx    context.Context
	timer  *time.Timer
	quiet  time.Duration // How long the body may bring nothing.

	copied   atomic.Bool   // The body has been sent whole.
	answered chan struct{} // Closed when the service has answered: then out and err hold.
	ending   chan struct{} // Closed when nobody waits for the body or the answer any more.
	left     chan struct{} // Closed when await touches the caller's connection no more.
	out      *dicompb.UploadDicomResponse
	err      error
}

var (
	errIdle     = errors.New("idle")
	errAnswered = errors.New("the service has answered")
)

// openUpload opens a stream that the end of parent ends, or the idle limit.
func (c *call) openUpload(parent context.Context, quiet time.Duration) (*upload, error) {
	ctx, cancel := context.WithCancelCause(parent)
	up := &upload{c: c, cancel: cancel, ctx: ctx, quiet: quiet,
		answered: make(chan struct{}), ending: make(chan struct{}), left: make(chan struct{}), out: &dicompb.UploadDicomResponse{}}
	up.timer = time.AfterFunc(c.svcCtx.Budgets.Idle, func() { cancel(errIdle) })
	up.moved()
	stream, err := c.svcCtx.DicomRpc.UploadDicom(ctx)
	if err != nil {
		up.end()
		return nil, err
	}
	up.stream = stream
	go up.await()
	return up, nil
}

// noticeWithin is how long a caller who is sending has to bring another piece of
// the body, at which the service's answer is noticed.
const noticeWithin = 250 * time.Millisecond

// await takes the service's answer, whenever it comes. One that comes before the
// body is through is a refusal: whoever waits for more of the body is woken. That
// is not done at once, because a deadline that passes spoils a chunked body for
// reading on, and a caller who goes on sending would find its connection closed
// in place of the refusal.
func (u *upload) await() {
	defer close(u.left)
	u.err = u.stream.RecvMsg(u.out)
	close(u.answered)
	timer := time.NewTimer(noticeWithin)
	defer timer.Stop()
	select {
	case <-u.ending:
	case <-timer.C:
		if !u.copied.Load() {
			_ = http.NewResponseController(u.c.w).SetReadDeadline(time.Now())
		}
	}
}

// end gives the stream up. After it nobody touches the caller's connection, which
// net/http takes back when the handler returns.
func (u *upload) end() {
	u.timer.Stop()
	u.cancel(nil)
	close(u.ending)
	if u.stream != nil {
		<-u.left
	}
}

// progress puts off the limits: of the stream, and of the caller's connection.
func (u *upload) progress(limit time.Duration) {
	u.timer.Reset(limit)
	rc := http.NewResponseController(u.c.w)
	_ = rc.SetReadDeadline(time.Now().Add(limit))
	_ = rc.SetWriteDeadline(time.Now().Add(limit + readOnFor))
}

// moved is progress while the body comes.
func (u *upload) moved() {
	u.progress(u.c.svcCtx.Budgets.Idle)
	_ = http.NewResponseController(u.c.w).SetReadDeadline(time.Now().Add(u.quiet))
}

func (u *upload) copy(body io.Reader) error {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	for {
		n, err := u.piece(body, *buffer)
		if n > 0 {
			u.moved()
			chunk := &dicompb.UploadDicomRequest{Data: &dicompb.UploadDicomRequest_Chunk{Chunk: (*buffer)[:n]}}
			if err := u.stream.Send(chunk); err != nil {
				return u.result()
			}
		}
		switch {
		case errors.Is(err, errAnswered):
			return u.result()
		case errors.Is(err, io.EOF):
			u.copied.Store(true)
			return nil
		case err != nil:
			return u.cut(err)
		}
	}
}

// piece reads what the next message carries: a buffer full, or what came in a
// quarter of the idle limit, so that a slow line is not taken for a dead one. It
// ends when the service has answered: nothing more is wanted then.
func (u *upload) piece(body io.Reader, buffer []byte) (n int, err error) {
	begun := time.Now()
	for n < len(buffer) && err == nil && (n == 0 || time.Since(begun) < u.c.svcCtx.Budgets.Idle/4) {
		select {
		case <-u.answered:
			return n, errAnswered
		default:
		}
		var m int
		m, err = body.Read(buffer[n:])
		n += m
	}
	return n, err
}

// fill reads until the buffer is full or the reader ends. io.ReadFull would
// call a whole body's end inside the buffer by the same name as net/http calls a
// body that was cut: io.ErrUnexpectedEOF.
func fill(r io.Reader, buffer []byte) (n int, err error) {
	for n < len(buffer) && err == nil {
		var m int
		m, err = r.Read(buffer[n:])
		n += m
	}
	return n, err
}

// cut says why the body ended before its time. The stream is given up, and
// dicom-rpc keeps nothing of it.
func (u *upload) cut(cause error) error {
	select {
	case <-u.answered:
		return u.result()
	default:
	}
	u.cancel(cause)
	if u.c.r.Context().Err() != nil {
		return fault.Canceled().Because(cause)
	}
	return fault.Invalid(fault.ReasonBodyInvalid, "the body ended or stood still before its time; nothing was kept, send it again").Because(cause)
}

// result waits for the service's own answer and gives its refusal, if it is one;
// the idle limit bounds the wait.
func (u *upload) result() error {
	<-u.answered
	if u.err != nil && errors.Is(context.Cause(u.ctx), errIdle) {
		return fault.DeadlineExceeded("the upload made no progress for too long; nothing was kept, send it again").Because(u.err)
	}
	return u.err
}

// resumable says of a refusal on an upload that goes on elsewhere what to do:
// what this stream brought is kept.
func (u *upload) resumable(err error) error {
	if errors.Is(context.Cause(u.ctx), errIdle) {
		return fault.DeadlineExceeded("the upload made no progress for too long; ask for the offset (HEAD) and go on from there").Because(err)
	}
	return err
}

// downloadImage sends the bytes as they came. It streams: headers first, and if
// anything fails on the way the connection is cut, so that nobody takes half an
// image for a whole one.
func downloadImage(c *call) error {
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	timer := time.AfterFunc(c.svcCtx.Budgets.Idle, cancel)
	defer timer.Stop()
	in := &dicompb.DownloadDicomRequest{}
	if err := c.bind(in); err != nil {
		return err
	}
	stream, err := c.svcCtx.DicomRpc.DownloadDicom(ctx, in)
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return late(ctx, c, err)
	}
	c.imageHeaders(first.GetImage())
	rc := http.NewResponseController(c.w)
	for {
		timer.Reset(c.svcCtx.Budgets.Idle)
		_ = rc.SetWriteDeadline(time.Now().Add(c.svcCtx.Budgets.Idle))
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			_, err = c.w.Write(msg.GetChunk())
		}
		if err != nil {
			c.state.reason = fault.From(err).Reason
			panic(http.ErrAbortHandler)
		}
	}
}

// late tells our own idle limit from the caller's leaving.
func late(ctx context.Context, c *call, err error) error {
	if ctx.Err() != nil && c.r.Context().Err() == nil {
		return fault.DeadlineExceeded("the image service did not answer in time; send the request again").Because(err)
	}
	return err
}

func (c *call) imageHeaders(image *dicompb.Image) {
	header := c.w.Header()
	header.Set("Content-Type", "application/dicom")
	header.Set("Content-Length", strconv.FormatUint(image.GetSize(), 10))
	header.Set("Cache-Control", "no-store")
	header.Set("ETag", `"`+image.GetSha256()+`"`)
	if raw, err := hex.DecodeString(image.GetSha256()); err == nil {
		header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(raw)+":")
	}
	c.w.WriteHeader(http.StatusOK)
}
