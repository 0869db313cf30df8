package handler

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/rest/pathvar"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"clinsource/internal/auth"
	"clinsource/internal/callinfo"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	"clinsource/internal/limits"
	"clinsource/project-api/internal/problem"
	"clinsource/project-api/internal/svc"
	"clinsource/project-api/internal/wire"
)

// Limits of JSON bodies, in bytes after decompression, and how much of a refused
// body is read on, so that a caller who is still sending sees the answer.
const (
	maxBody      = 1 << 20
	maxBatchBody = 8 << 20
	readOn       = 16 << 20
	readOnFor    = 5 * time.Second
)

// call is one request on its way through a handler.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	svcCtx *svc.ServiceContext
	user   *auth.User
	vars   map[string]string
	state  *state
	leave  func() // Ends what the request takes of its caller's limits.
}

// state is what the outermost handler logs of a request.
type state struct {
	requestID string
	route     string // The pattern, never the path.
	about     string // What the route is about, for messages.
	verb      string // Split off the path's last colon.
	account   string // Split off the path of an account.
	status    int
	reason    string
	written   int64
	read      atomic.Int64 // Of the body; a handler may read on beside the answer.
}

// endpoint is a handler that returns its refusal instead of writing it.
type endpoint func(c *call) error

// route is one line of the table in routes.go.
type route struct {
	method, path string
	about        string   // subjects, vitals, images, reports, medications.
	query        []string // The query parameters it knows.
	open         bool     // No token is asked for.
	stream       bool     // Bodies without a size limit; the endpoint sets its own deadlines.
	do           endpoint
	verbs        map[string]endpoint // In place of do: the id with which the path ends takes one of them, behind a colon.
}

// handle makes the http handler of a route: authenticate before anything is
// read, check path and query, and answer refusals as problems.
func (s *routes) handle(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		st := stateOf(r)
		st.route, st.about = rt.method+" "+rt.path, rt.about
		c := &call{w: w, r: r, svcCtx: s.svcCtx, vars: maps.Clone(pathvar.Vars(r)), state: st, leave: func() {}}
		do := rt.do
		if rt.verbs != nil {
			st.verb = splitVerb(rt.path, c.vars)
			do = rt.verbs[st.verb]
			switch {
			case st.verb == "":
				NotAllowed().ServeHTTP(w, r)
				return
			case do == nil:
				NotFound().ServeHTTP(w, r)
				return
			}
		}
		if !rt.stream {
			ctx, cancel := context.WithTimeout(r.Context(), s.svcCtx.Budgets.Request)
			defer cancel()
			c.r = r.WithContext(ctx)
			rc := http.NewResponseController(w)
			_ = rc.SetReadDeadline(time.Now().Add(s.svcCtx.Budgets.Request))
			_ = rc.SetWriteDeadline(time.Now().Add(s.svcCtx.Budgets.Request + readOnFor))
		}
		defer func() { c.leave() }()
		if err := c.admit(rt); err != nil {
			s.refused.add(c, err)
			c.refuse(err)
			return
		}
		if err := do(c); err != nil {
			c.refuse(err)
		}
	}
}

func (c *call) admit(rt route) error {
	if !rt.open {
		authorization := c.r.Header.Get("Authorization")
		user, leave, err := c.svcCtx.Gate.Admit(c.r.Context(), limits.Source(c.r.RemoteAddr), authorization)
		if err != nil {
			return err
		}
		if user, err = auth.Resolve(c.r.Context(), c.svcCtx.Accounts, user); err != nil {
			leave()
			return err
		}
		c.user, c.leave = user, leave
		ctx := auth.WithUser(c.r.Context(), user)
		c.r = c.r.WithContext(callinfo.WithAuthorization(ctx, authorization))
	}
	if err := c.checkQuery(rt.query); err != nil {
		return err
	}
	return c.checkPath()
}

// checkQuery refuses query parameters that the route does not know, by name.
func (c *call) checkQuery(known []string) error {
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return fault.Invalid(fault.ReasonQueryInvalid, "the query string cannot be read")
	}
	var bad []fault.Violation
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			bad = append(bad, fault.Violation{Field: name, Rule: "query.unknown", Message: unknownParameter(known)})
		case len(values) > 1:
			bad = append(bad, fault.Violation{Field: name, Rule: "query.repeated", Message: "is given more than once"})
		}
	}
	if len(bad) > 0 {
		slices.SortFunc(bad, byField)
		return fault.Invalid(fault.ReasonQueryInvalid, "the query has a parameter that this route does not take", bad...)
	}
	return nil
}

func byField(a, b fault.Violation) int { return strings.Compare(a.Field, b.Field) }

func unknownParameter(known []string) string {
	if len(known) == 0 {
		return "is not known: this route takes no query parameters"
	}
	return "is not known; this route takes " + strings.Join(known, ", ")
}

// checkPath checks the identifiers in the path, and refuses early whoever has
// no grant in the project: nothing of it is told or read for them.
func (c *call) checkPath() error {
	var check ident.Checker
	for _, name := range []string{"project_id", "patient_id", "record_id", "image_id", "upload_id", "grant_id"} {
		if id, ok := c.vars[name]; ok {
			check.Required(name, id)
		}
	}
	if err := check.Err(); err != nil {
		return err
	}
	project, ok := c.vars["project_id"]
	if ok && !c.user.CanAccess(project) && !c.user.SetsUpProjects() {
		return fault.Denied(fault.ReasonNoGrant, "the token holds no grant for this project")
	}
	return nil
}

// refuse answers with the problem of the error, and reads on a little so that a
// caller who is still sending gets to see it.
func (c *call) refuse(err error) {
	f := fault.From(err)
	c.state.reason = f.Reason
	unread := c.early()
	c.state.status = problem.Write(c.w, c.r, f, c.state.about, c.state.requestID)
	c.readOn(unread)
}

// early prepares for an answer that comes before the body is through, and says
// whether the body is to be read on after it.
func (c *call) early() (unread bool) {
	rc := http.NewResponseController(c.w)
	_ = rc.SetWriteDeadline(time.Now().Add(readOnFor))
	if c.r.Body == nil || c.r.Body == http.NoBody || c.r.ProtoMajor != 1 {
		return false // HTTP/2 can tell a caller to stop; HTTP/1 must read on.
	}
	c.w.Header().Set("Connection", "close")
	_ = rc.EnableFullDuplex() // Else net/http reads on before it writes, from a caller who may wait for us.
	return true
}

func (c *call) readOn(unread bool) {
	if !unread {
		return
	}
	rc := http.NewResponseController(c.w)
	_ = rc.Flush()
	_ = rc.SetReadDeadline(time.Now().Add(readOnFor))
	_, _ = io.CopyN(io.Discard, c.r.Body, readOn)
}

// body reads a JSON body, gzip or not, up to limit bytes.
func (c *call) body(limit int64) ([]byte, error) {
	if c.r.ContentLength > limit {
		return nil, tooLarge()
	}
	reader := io.Reader(c.r.Body)
	switch encoding := c.r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		unzipped, err := gzip.NewReader(c.r.Body)
		if err != nil {
			return nil, c.unreadable(err, "the body is not gzip, as its Content-Encoding says")
		}
		reader = unzipped
	default:
		return nil, fault.Invalid(fault.ReasonBodyInvalid, "Content-Encoding must be absent, identity or gzip")
	}
	return c.readUpTo(reader, limit)
}

// bodyPiece is what a body grows by as it is read: pieces are joined once, where
// one growing slice would be copied over and over.
const bodyPiece = 64 << 10

func (c *call) readUpTo(reader io.Reader, limit int64) ([]byte, error) {
	var pieces [][]byte
	for size := int64(0); ; {
		piece := make([]byte, bodyPiece)
		n, err := fill(reader, piece)
		pieces = append(pieces, piece[:n])
		switch size += int64(n); {
		case size > limit:
			return nil, tooLarge()
		case errors.Is(err, io.EOF):
			return bytes.Join(pieces, nil), nil
		case err != nil:
			return nil, c.unreadable(err, "the body ended before its time")
		}
	}
}

func tooLarge() error {
	return fault.Invalid(fault.ReasonBodyTooLarge, "the body is larger than this route takes (1 MiB of JSON, 8 MiB for a batch, counted after decompression)")
}

func (c *call) unreadable(err error, message string) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fault.DeadlineExceeded("the body did not come in time; send it again").Because(err)
	}
	if ctxErr := c.r.Context().Err(); ctxErr != nil {
		return fault.From(ctxErr)
	}
	return fault.Invalid(fault.ReasonBodyInvalid, message).Because(err)
}

// read reads the JSON body into a message and takes over the path's ids.
func (c *call) read(in proto.Message) error {
	data, err := c.body(maxBody)
	if err != nil {
		return err
	}
	if err := wire.Decode(data, in); err != nil {
		return err
	}
	return c.bind(in)
}

// bind puts the path's ids into the message; a body that names others is wrong.
func (c *call) bind(in proto.Message) error {
	m := in.ProtoReflect()
	var bad []fault.Violation
	for name, id := range c.vars {
		fd := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		if fd == nil {
			continue
		}
		if given := m.Get(fd).String(); given != "" && given != id {
			bad = append(bad, fault.Violation{Field: name, Rule: "path.disagrees", Message: "is not the one in the path; leave it out of the body"})
		}
		m.Set(fd, protoreflect.ValueOfString(id))
	}
	if len(bad) > 0 {
		slices.SortFunc(bad, byField)
		return fault.InvalidFields(bad)
	}
	return nil
}

// within bounds one downstream call; the request's own deadline wins if nearer.
func (c *call) within(budget time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.r.Context(), budget)
}

// answer sends a message as JSON.
func (c *call) answer(status int, m proto.Message) error {
	return c.json(status, wire.Encode(m))
}

func (c *call) json(status int, body []byte) error {
	header := c.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	c.w.WriteHeader(status)
	_, err := c.w.Write(append(body, '\n'))
	if err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		return nil // The caller has left; there is nobody to tell.
	}
	return nil
}
