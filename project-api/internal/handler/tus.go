package handler

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	tusd "github.com/tus/tusd/v2/pkg/handler"
	"golang.org/x/exp/slog"

	"clinsource/internal/fault"
	dicompb "clinsource/proto/dicom"
)

// Uploads that survive cuts, by tus 1.0 (https://tus.io/protocols/resumable-upload).
// The protocol is tusd's: which headers a request needs, what follows from them,
// and the short texts that say no in its terms (409, 410, 412, ...). The uploads are
// dicom-rpc's, and all that is known of one is there: the gateway keeps nothing,
// so that any replica goes on with what another began. What dicom-rpc or this
// gateway refuses is a problem document, as on every route.

// The headers of ours beside the protocol's own; docs/uploads.md explains them.
const (
	headerImageID       = "Clinsource-Image-Id"
	headerImageSha256   = "Clinsource-Image-Sha256"
	headerImageCreated  = "Clinsource-Image-Created"
	headerImageFindings = "Clinsource-Image-Findings"
)

// chunkType is the Content-Type of an upload's bytes.
const chunkType = "application/offset+octet-stream"

// maxImage is the largest file, in bytes: Tus-Max-Size.
const maxImage = 16 << 30

// tusCall is one request of the protocol. To tusd it is the store, and the one
// upload that the request is about.
type tusCall struct {
	c           *call
	body        *notedBody
	asked       *dicompb.CreateUploadRequest // What a creation asks for.
	upload      *dicompb.Upload              // As dicom-rpc told it last.
	image       *dicompb.UploadDicomResponse // What became of it, once it is complete.
	refusal     error                        // Ours: it is answered as a problem, whatever tusd says.
	interrupted atomic.Bool                  // A newer request for the same upload wants the lock.
}

// tus makes the endpoint of one method of the protocol.
func (s *routes) tus(method func(*tusd.UnroutedHandler, http.ResponseWriter, *http.Request)) endpoint {
	return func(c *call) error {
		t := &tusCall{c: c, body: &notedBody{ReadCloser: c.r.Body}}
		if err := t.check(); err != nil {
			return err
		}
		protocol, err := tusd.NewUnroutedHandler(t.config(s))
		if err != nil {
			return err
		}
		w := &tusWriter{ResponseWriter: c.w, t: t}
		protocol.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { method(protocol, w, r) })).ServeHTTP(w, t.request())
		if t.refusal != nil {
			return t.refusal
		}
		c.readOn(w.unread)
		return nil
	}
}

// config makes a handler of tusd's for one request: it is cheap, and so the
// request is all that it knows.
func (t *tusCall) config(s *routes) tusd.Config {
	composer := tusd.NewStoreComposer()
	composer.UseCore(t)
	composer.UseTerminater(t)
	composer.UseLocker(tusLocker{Locker: s.locks, t: t})
	budgets := t.c.svcCtx.Budgets
	return tusd.Config{
		StoreComposer: composer, MaxSize: maxImage, BasePath: uploads + "/",
		Cors:           &tusd.CorsConfig{Disable: true},
		Logger:         slog.New(silent{}),
		NetworkTimeout: t.quiet(), AcquireLockTimeout: budgets.Request,
		GracefulRequestCompletionTimeout: time.Millisecond, // The contexts of our calls are our own.
	}
}

// request is the caller's with the path as tusd wants it: the upload's id alone.
// A method in a header is not heard: the routes, and who may do what on them, go
// by the real one.
func (t *tusCall) request() *http.Request {
	r := t.c.r.WithContext(t.c.r.Context())
	r.Header = r.Header.Clone()
	r.Header.Del("X-HTTP-Method-Override")
	r.URL = &url.URL{Path: t.c.vars["upload_id"]}
	r.Body = t.body
	return r
}

// check refuses what tusd would pass over in silence, or not as a problem.
func (t *tusCall) check() (err error) {
	if t.c.r.Method != http.MethodPost {
		return nil
	}
	header := t.c.r.Header
	if header.Get("Upload-Concat") != "" {
		return fault.Unimplemented("uploads are not put together of parts (Upload-Concat); send the file as one upload")
	}
	if size, err := strconv.ParseInt(header.Get("Upload-Length"), 10, 64); err == nil && size > maxImage || errors.Is(err, strconv.ErrRange) {
		return fault.Invalid(fault.ReasonBodyTooLarge, "Upload-Length: an image has at most 16 GiB (Tus-Max-Size)")
	}
	if t.asked, err = askedFor(header.Values("Upload-Metadata")); err != nil {
		return err
	}
	if t.asked.GetResume() && header.Get("Content-Type") == chunkType {
		return malformed("resume", "metadata.resume", "does not go together with bytes in the same request: where they belong is only known from the answer")
	}
	return nil
}

// tusWriter sends what tusd answers, with our headers. Where we refuse, it holds
// tusd's answer back: ours comes instead.
type tusWriter struct {
	http.ResponseWriter
	t      *tusCall
	unread bool // The answer came before the body was read: read on a little.
}

// Unwrap lets http.ResponseController reach the connection.
func (w *tusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *tusWriter) WriteHeader(status int) {
	if w.t.refusal != nil {
		return
	}
	w.t.decorate(w.Header(), status)
	if status >= http.StatusBadRequest {
		w.unread = w.t.c.early()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *tusWriter) Write(b []byte) (int, error) {
	if w.t.refusal != nil {
		return len(b), nil
	}
	if w.t.c.state.status >= http.StatusBadRequest {
		w.t.c.state.reason, _, _ = strings.Cut(string(b), ":") // ERR_MISMATCHED_OFFSET and its like.
	}
	return w.ResponseWriter.Write(b)
}

// decorate adds to an answer of tusd's what is ours.
func (t *tusCall) decorate(header http.Header, status int) {
	header.Set("Cache-Control", "no-store")
	if extensions := header.Get("Tus-Extension"); extensions != "" {
		header.Set("Tus-Extension", extensions+",expiration")
	}
	if status >= http.StatusBadRequest || t.upload == nil {
		return
	}
	if header.Get("Location") != "" { // As a path it is right behind every host name and proxy.
		header.Set("Location", uploads+"/"+t.upload.GetUploadId())
		if header.Get("Upload-Offset") == "" { // More than 0 where resume found an upload.
			header.Set("Upload-Offset", strconv.FormatUint(t.upload.GetOffset(), 10))
		}
	}
	switch expires := t.upload.GetExpiresTime(); {
	case t.image != nil:
		t.describe(header)
	case expires != nil:
		header.Set("Upload-Expires", expires.AsTime().Format(http.TimeFormat))
	}
}

// describe tells what became of the upload.
func (t *tusCall) describe(header http.Header) {
	header.Set(headerImageID, t.image.GetImageId())
	header.Set(headerImageSha256, t.image.GetSha256())
	header.Set(headerImageCreated, strconv.FormatBool(t.image.GetCreated()))
	rules := make([]string, 0, len(t.image.GetFindings()))
	for _, f := range t.image.GetFindings() {
		rules = append(rules, f.GetRuleId())
	}
	if len(rules) > 0 {
		header.Set(headerImageFindings, strings.Join(rules, ", "))
	}
}

// notedBody remembers why a body ended before its time. tusd tells a store of
// every end as if it were a good one.
type notedBody struct {
	io.ReadCloser
	err error
}

func (b *notedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// tusLocker is tusd's locks, which end the older of two requests for one upload
// in this process; between processes dicom-rpc does so. They count per user:
// nobody ends another's request.
type tusLocker struct {
	tusd.Locker
	t *tusCall
}

// NewLock makes the lock of an upload.
func (l tusLocker) NewLock(id string) (tusd.Lock, error) {
	lock, err := l.Locker.NewLock(id + " " + l.t.c.user.Subject)
	return tusLock{inner: lock, t: l.t}, err
}

type tusLock struct {
	inner tusd.Lock
	t     *tusCall
}

// Lock takes it, and has whoever holds it give it up.
func (l tusLock) Lock(ctx context.Context, release func()) error {
	err := l.inner.Lock(ctx, func() {
		l.t.interrupted.Store(true)
		release()
	})
	if err != nil {
		return l.t.fail(fault.Unavailable(fault.ReasonOverloaded, "another request for this upload is not through yet; back off and send again", time.Second).Because(err))
	}
	return nil
}

// Unlock gives it back.
func (l tusLock) Unlock() error { return l.inner.Unlock() }

// silent is a log that says nothing: tusd's lines would hold paths with ids, and
// the gateway has its own line for each request.
type silent struct{}

// Enabled is never.
func (silent) Enabled(context.Context, slog.Level) bool { return false }

// Handle is not called.
func (silent) Handle(context.Context, slog.Record) error { return nil }

// WithAttrs changes nothing.
func (s silent) WithAttrs([]slog.Attr) slog.Handler { return s }

// WithGroup changes nothing.
func (s silent) WithGroup(string) slog.Handler { return s }
