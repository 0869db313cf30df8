package handler

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"clinsource/internal/callinfo"
	"clinsource/internal/fault"
	"clinsource/internal/telemetry"
	"clinsource/project-api/internal/problem"
)

type stateKey struct{}

func stateOf(r *http.Request) *state {
	if st, ok := r.Context().Value(stateKey{}).(*state); ok {
		return st
	}
	return &state{requestID: callinfo.NewRequestID()}
}

// Edge is the outermost handler: it names the request, turns a panic into a
// problem, counts, and logs one line that holds the route's pattern and the
// request id, and no path, query, header or body.
func Edge(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if !callinfo.ValidRequestID(id) {
			id = callinfo.NewRequestID()
		}
		st := &state{requestID: id, route: "none"}
		ctx, span := telemetry.BeginRequest(callinfo.WithRequestID(context.WithValue(r.Context(), stateKey{}, st), id), id)
		r = counting(r.WithContext(ctx), st)
		header := w.Header()
		header.Set("X-Request-Id", id)
		if leaving.Load() {
			header.Set("Connection", "close") // HTTP/2: GOAWAY. The caller's next request goes elsewhere.
		}
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Strict-Transport-Security", "max-age=31536000")
		out := &writer{ResponseWriter: w, state: st}
		begun := time.Now()
		inFlight.Inc()
		defer func() {
			aborted := conclude(out, r, st, recover())
			inFlight.Dec()
			count(st, time.Since(begun))
			span.EndRequest(st.route, st.status, st.reason)
			logRequest(ctx, st, time.Since(begun))
			if aborted {
				panic(http.ErrAbortHandler) // net/http's way to cut a connection.
			}
		}()
		if tooManyHeaders(r) {
			header.Set("Connection", "close")
			refusing(fault.Invalid(fault.ReasonHeadersTooLarge, "the request has more than 100 headers, or more than 48 KiB of them")).ServeHTTP(out, r)
			return
		}
		if r = splitAccount(r, st); !plain(r.URL) {
			refusing(fault.NotFound(fault.ReasonRouteNotFound, "there is no such path: a path here has no empty, dot or escaped-slash segments")).ServeHTTP(out, r)
			return
		}
		next.ServeHTTP(out, r)
	})
}

// Bounds of a request's headers and its target. net/http itself reads no more than
// a third more bytes, and answers 431 in its own words beyond that.
const (
	maxHeaders     = 100
	maxHeaderBytes = 48 << 10
)

func tooManyHeaders(r *http.Request) bool {
	count, size := 0, len(r.RequestURI)+len(r.Host)
	for name, values := range r.Header {
		count += len(values)
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	return count > maxHeaders || size > maxHeaderBytes
}

// plain says whether the path means what it says. The router unescapes and
// cleans a path before it looks: "a%2F..%2Fb" would name another subject than it
// shows.
func plain(u *url.URL) bool {
	clean := path.Clean(u.Path)
	return !strings.Contains(strings.ToLower(u.EscapedPath()), "%2f") && (u.Path == clean || u.Path == clean+"/")
}

// conclude answers for a handler that panicked. What has been half sent is cut
// off, so that nobody takes it for whole.
func conclude(w *writer, r *http.Request, st *state, p any) (aborted bool) {
	if p == nil {
		return false
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return true
	}
	st.reason = fault.ReasonInternal
	logx.Errorw("panic", logx.Field("request_id", st.requestID), logx.Field("route", st.route), logx.Field("stack", string(debug.Stack())))
	if w.begun {
		return true
	}
	problem.Write(w, r, fault.Internal(nil), st.about, st.requestID)
	return false
}

func logRequest(ctx context.Context, st *state, took time.Duration) {
	if st.route == "GET /healthz" || st.route == "GET /readyz" {
		return
	}
	logx.Infow("request", append(telemetry.Fields(ctx), logx.Field("route", st.route), logx.Field("status", st.status), logx.Field("reason", st.reason),
		logx.Field("ms", float64(took.Microseconds())/1000), logx.Field("bytes", st.written), logx.Field("request_id", st.requestID))...)
}

// writer notes what is sent.
type writer struct {
	http.ResponseWriter
	state *state
	begun bool
}

// Unwrap lets http.ResponseController reach the connection.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) WriteHeader(status int) {
	if !w.begun {
		w.begun, w.state.status = true, status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(b []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(b)
	w.state.written += int64(n)
	return n, err
}
