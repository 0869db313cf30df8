package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of one upload.
const (
	askWithin     = 90 * time.Second       // A request without bytes; it may have an image judged.
	quietAtMost   = 30 * time.Second       // A line that takes nothing for so long is taken for dead.
	answerWithin  = 2 * time.Minute        // From the last byte to the answer.
	firstWait     = 200 * time.Millisecond // Before the second try; it doubles.
	longestWait   = 5 * time.Second
	maxFaults     = 3 // The server's own (500) without progress between them.
	maxBeginnings = 3 // Uploads of one file: the server may forget one.
)

// sending is one file on its way: a tus upload that goes on where it was after
// whatever cuts it, as long as it makes progress now and then.
type sending struct {
	g        *gateway
	body     io.ReaderAt
	size     int64
	metadata string             // Upload-Metadata.
	patience time.Duration      // How long it tries without progress.
	moved    func(offset int64) // Hears how far the sending is.

	url    string // Of the upload; "" before it is there.
	offset int64  // What the server has synced.
	unsure bool   // The offset may be another: ask.
	ended  bool   // The upload has ended: ask why.

	resumed  int64 // What was there when this run began.
	sent     int64 // Bytes that left this run, resent ones included.
	progress time.Time
	wait     time.Duration
	faults   int
	lost     int
}

// run sends the file, and gives the image that came of it.
func (s *sending) run(ctx context.Context) (image, error) {
	s.progress, s.wait, s.resumed = time.Now(), firstWait, -1
	for {
		a, err := s.ask(ctx)
		if ctx.Err() != nil {
			return image{}, context.Cause(ctx)
		}
		again := s.judge(a, err)
		if again == nil {
			if done, ok := a.image(); ok {
				s.moved(s.size)
				return done, nil
			}
			continue
		}
		if again.final || time.Since(s.progress) > s.patience {
			return image{}, again.err
		}
		if err := pause(ctx, max(s.wait/2+rand.N(s.wait), again.after)); err != nil { // #nosec G404 -- jitter
			return image{}, err
		}
		s.wait = min(2*s.wait, longestWait)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// ask makes the request that is due.
func (s *sending) ask(ctx context.Context) (*tusAnswer, error) {
	switch {
	case s.url == "":
		return s.request(ctx, http.MethodPost, s.g.url+"/v1/uploads/", nil, map[string]string{
			"Upload-Length": strconv.FormatInt(s.size, 10), "Upload-Metadata": s.metadata})
	case s.unsure:
		return s.request(ctx, http.MethodHead, s.url, nil, nil)
	case s.ended:
		return s.request(ctx, http.MethodPatch, s.url, nil, chunkAt(s.offset))
	default:
		return s.send(ctx)
	}
}

func chunkAt(offset int64) map[string]string {
	return map[string]string{"Upload-Offset": strconv.FormatInt(offset, 10), "Content-Type": "application/offset+octet-stream"}
}

// send streams what the server has not got.
func (s *sending) send(ctx context.Context) (*tusAnswer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body := &watched{source: io.NewSectionReader(s.body, s.offset, s.size-s.offset), at: s.offset, size: s.size, moved: s.moved}
	body.timer = time.AfterFunc(quietAtMost, func() { cancel(errQuiet) })
	a, err := s.request(ctx, http.MethodPatch, s.url, body, chunkAt(s.offset))
	short := body.stop()
	s.sent += body.at - s.offset
	switch {
	case short:
		return nil, errShrunk
	case err != nil && errors.Is(context.Cause(ctx), errQuiet):
		return nil, errQuiet
	}
	return a, err
}

var (
	errQuiet  = errors.New("the connection took nothing for too long")
	errShrunk = errors.New("the file became shorter while it was sent")
)

// watched is the body of a request: it tells of progress, and ends a line that
// takes nothing. net/http may read on for a moment after the request is over.
type watched struct {
	source *io.SectionReader
	moved  func(offset int64)
	timer  *time.Timer
	size   int64

	mu      sync.Mutex
	at      int64
	short   bool
	stopped bool
}

func (w *watched) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return 0, net.ErrClosed
	}
	n, err := w.source.Read(p)
	w.at += int64(n)
	w.moved(w.at)
	w.timer.Reset(quietAtMost)
	if w.at == w.size {
		w.timer.Reset(answerWithin)
	}
	w.short = w.short || errors.Is(err, io.EOF) && w.at < w.size
	return n, err
}

// stop ends it, and says whether the file was shorter than it had been.
func (w *watched) stop() (short bool) {
	w.timer.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	return w.short
}

// request makes one request of the protocol.
func (s *sending) request(ctx context.Context, method, url string, body *watched, header map[string]string) (*tusAnswer, error) {
	var reader io.Reader
	if body == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, askWithin)
		defer cancel()
	} else {
		reader = io.NopCloser(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.ContentLength = s.size - s.offset
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Authorization", "Bearer "+s.g.token)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := s.g.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	return &tusAnswer{method: method, status: resp.StatusCode, header: resp.Header, body: text}, nil
}

// tusAnswer is what the gateway said.
type tusAnswer struct {
	method string
	status int
	header http.Header
	body   []byte
}

// image gives the image that came of the upload, if it is complete.
func (a *tusAnswer) image() (image, bool) {
	out := image{ImageID: a.header.Get("Clinsource-Image-Id"), Sha256: a.header.Get("Clinsource-Image-Sha256"),
		Created: a.header.Get("Clinsource-Image-Created") == "true"}
	if rules := a.header.Get("Clinsource-Image-Findings"); rules != "" {
		out.Findings = strings.Split(rules, ", ")
	}
	return out, out.ImageID != ""
}

// refusal gives the problem that the gateway answers, or one made of the
// protocol's short text.
func (a *tusAnswer) refusal() *problem {
	p := &problem{}
	if json.Unmarshal(a.body, p) == nil && p.Reason != "" {
		p.Status = a.status
		return p
	}
	code, text, ok := strings.Cut(strings.TrimSpace(string(a.body)), ": ")
	if !ok {
		code, text = "NO_REASON", "the answer says no more"
	}
	return &problem{Status: a.status, Reason: code, Detail: text, RequestID: a.header.Get("X-Request-Id")}
}

// setback is why a request was in vain, and whether another may help.
type setback struct {
	err   error
	final bool
	after time.Duration // As Retry-After asks.
}

// judge takes over what an answer tells, and says what stands in the way.
func (s *sending) judge(a *tusAnswer, err error) *setback {
	switch {
	case errors.Is(err, errShrunk):
		return &setback{err: err, final: true}
	case err != nil:
		s.unsure = s.url != ""
		return &setback{err: err}
	case a.status < http.StatusBadRequest:
		return s.take(a)
	}
	return s.refused(a)
}

// refused decides whether another request may help after a refusal.
func (s *sending) refused(a *tusAnswer) *setback {
	p := a.refusal()
	after, _ := strconv.Atoi(a.header.Get("Retry-After"))
	again := &setback{err: p, after: min(time.Duration(after)*time.Second, 6*longestWait)}
	s.unsure = s.url != ""
	switch a.status {
	case http.StatusRequestTimeout, http.StatusLocked, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	case http.StatusInternalServerError:
		s.faults++
		again.final = s.faults >= maxFaults
	case http.StatusConflict: // ERR_MISMATCHED_OFFSET; a problem says that an id is taken.
		again.final = !strings.HasPrefix(p.Reason, "ERR_")
	case http.StatusNotFound: // The server has forgotten the upload; a problem says that the subject is not there.
		again.final = a.method != http.MethodHead && !strings.HasPrefix(p.Reason, "ERR_")
		s.anew(again)
	case http.StatusBadRequest, http.StatusGone:
		s.over(a, p, again)
	default:
		again.final = true
	}
	return again
}

// anew has the file begun once more, a few times at most.
func (s *sending) anew(again *setback) {
	s.lost++
	again.final = again.final || s.lost >= maxBeginnings
	s.url, s.offset, s.unsure, s.ended = "", 0, false, false
}

// over looks into why an upload has ended. HEAD has no body that could say; a
// PATCH has.
func (s *sending) over(a *tusAnswer, p *problem, again *setback) {
	switch {
	case a.method == http.MethodHead:
		s.ended, s.unsure = true, false
	case p.Reason == "ERR_UPLOAD_EXPIRED":
		s.anew(again)
	case p.Reason != "ERR_UPLOAD_INTERRUPTED":
		again.final = true
	}
}

// take takes over a good answer.
func (s *sending) take(a *tusAnswer) *setback {
	offset, err := strconv.ParseInt(a.header.Get("Upload-Offset"), 10, 64)
	if err != nil || offset < 0 || offset > s.size {
		return &setback{err: errors.New("the answer has no offset that can be: is this the gateway?"), final: true}
	}
	if a.method == http.MethodPost {
		base, err := url.Parse(s.g.url + "/")
		if err != nil {
			return &setback{err: err, final: true}
		}
		location, err := base.Parse(a.header.Get("Location"))
		if err != nil || location.Host != base.Host { // The token goes to this host only.
			return &setback{err: errors.New("the upload's Location is no path of the gateway"), final: true}
		}
		s.url = location.String()
	}
	if s.resumed < 0 {
		s.resumed = offset
	}
	_, done := a.image()
	before := s.offset
	s.offset, s.unsure, s.ended = offset, false, false
	s.moved(offset)
	if offset > before || done {
		s.progress, s.wait, s.faults = time.Now(), firstWait, 0
	}
	switch {
	case done:
	case offset == s.size:
		s.unsure = true
		return &setback{err: errors.New("all bytes are there, and no image came of them yet")}
	case a.method == http.MethodPatch && offset <= before:
		return &setback{err: errors.New("the server takes no more bytes")}
	}
	return nil
}

// uploadMetadata writes the pairs as Upload-Metadata wants them.
func uploadMetadata(pairs ...[2]string) string {
	all := make([]string, len(pairs))
	for i, p := range pairs {
		all[i] = fmt.Sprintf("%s %s", p[0], base64.StdEncoding.EncodeToString([]byte(p[1])))
	}
	return strings.Join(all, ",")
}
