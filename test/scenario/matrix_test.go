package scenario

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"clinsource/internal/auth"
	_ "clinsource/proto/access" // The services that no other test of this package calls by name.
	_ "clinsource/proto/audit"
	_ "clinsource/proto/medication"
	_ "clinsource/proto/subject"
	"clinsource/test/access"
)

// spot is what a target of the matrix is in the running suite.
type spot struct {
	subjectOf
	ids map[string]string // What a row's {name} stands for.
}

// spotAt makes a subject with a record of each kind.
func spotAt(t *testing.T, w *world, site string) spot {
	t.Helper()
	s := spot{subjectOf: w.full(t, site)}
	s.ids = map[string]string{"project": w.project, "site": site, "patient": s.id, "image": s.image}
	for _, kind := range []string{"vitals", "reports", "medications"} {
		for _, list := range w.admin.get(t, s.path+"/"+kind).want(t, 200) {
			if list, ok := list.([]any); ok && len(list) > 0 {
				s.ids[kind] = fmt.Sprint(list[0].(object)["record_id"])
			}
		}
	}
	s.ids["dicom"] = base64.StdEncoding.EncodeToString(image(t, s.id))
	return s
}

// fill puts the target's names into a row's text.
func (s spot) fill(text string) string {
	var pairs []string
	for name, id := range s.ids {
		pairs = append(pairs, "{"+name+"}", id)
	}
	return strings.NewReplacer(append(pairs, "{new}", fresh("n"))...).Replace(text)
}

// grantIn makes a grant in the target's project, to be revoked.
func (s spot) grantIn(t *testing.T, admin *api) {
	t.Helper()
	answer := admin.post(t, "/v1/grants", object{"sub": fresh("u"), "role": "monitor", "project_id": s.ids["project"]}).want(t, 201)
	s.ids["grant"] = answer["grant"].(object)["grant_id"].(string)
}

// matrix holds the targets and who calls.
type matrix struct {
	own, other *world
	spots      map[access.Target]spot
	admin      *api // Without a project.
	upload     string
	conns      map[string]*grpc.ClientConn
	t          *testing.T // Of all callers: connections end with it.
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{t: t, own: newWorld(t), other: newWorld(t), admin: as(t, "--role", "admin"), conns: map[string]*grpc.ClientConn{}}
	m.spots = map[access.Target]spot{access.Own: spotAt(t, m.own, "s1"), access.Elsewhere: spotAt(t, m.own, "s2"), access.Beyond: spotAt(t, m.other, "s1")}
	m.spots[access.Nowhere] = m.nowhere(m.spots[access.Own])
	data := image(t, m.spots[access.Own].id)
	r := m.own.admin.send(t, http.MethodPost, "/v1/uploads", nil, "Tus-Resumable", "1.0.0", "Upload-Length", fmt.Sprint(len(data)),
		"Upload-Metadata", "patient_id "+base64Of(m.spots[access.Own].id)+",project_id "+base64Of(m.own.project))
	if r.status != http.StatusCreated {
		t.Fatalf("an upload to be another's: %d: %s", r.status, r.body)
	}
	where := r.header.Get("Location")
	m.upload = where[strings.LastIndexByte(where, '/')+1:]
	return m
}

// nowhere is the spot with a project that does not exist.
func (m *matrix) nowhere(s spot) spot {
	ids := map[string]string{}
	for name, id := range s.ids {
		ids[name] = id
	}
	ids["project"] = fresh("p")
	s.ids = ids
	return s
}

// at gives the target of a row: one of its own where the call leaves it changed.
func (m *matrix) at(t *testing.T, r access.Row, to access.Target) spot {
	t.Helper()
	s := m.spots[to]
	if r.New {
		switch to {
		case access.Own:
			s = spotAt(t, m.own, "s1")
		case access.Elsewhere:
			s = spotAt(t, m.own, "s2")
		case access.Beyond:
			s = spotAt(t, m.other, "s1")
		}
		if r.Where == access.GrantID {
			s.grantIn(t, m.admin)
		}
	}
	s.ids["upload"] = m.upload
	return s
}

// tokenOf issues the caller's token; a patient is the subject at the own spot.
func (m *matrix) tokenOf(t *testing.T, caller string, self spot) string {
	t.Helper()
	issued, err := auth.Issue(certs+"/issuer.key", "matrix-"+caller, access.Grants(caller, m.own.project, "s1", self.id), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// TestAccessMatrix calls every RPC and every route as every role, at every target,
// and holds the answer against the policy.
//
// Shows R20, R27.
func TestAccessMatrix(t *testing.T) {
	m := newMatrix(t)
	for _, caller := range access.Callers {
		t.Run(caller, func(t *testing.T) {
			for _, r := range access.Rows {
				for _, to := range access.Targets {
					want := r.Cell(caller, to)
					if want == access.Without {
						continue
					}
					s := m.at(t, r, to)
					self := m.spots[access.Own]
					if to == access.Own {
						self = s
					}
					if got := m.call(t, r, s, m.tokenOf(t, caller, self)); got != want {
						t.Errorf("%s at %d: %s, want %s", r.Call, to, got, want)
					}
				}
			}
		})
	}
}

func (m *matrix) call(t *testing.T, r access.Row, s spot, token string) string {
	t.Helper()
	if method, path, ok := strings.Cut(r.Call, " "); ok {
		return m.request(t, method, path, r, s, token)
	}
	err := m.invoke(t, r, s, token)
	switch code := status.Code(err); code {
	case codes.OK:
		return access.OK
	case codes.PermissionDenied:
		return access.Denied
	case codes.NotFound:
		return access.Unseen
	}
	return err.Error()
}

// processOf says which process serves a package; all others are the registry's.
var processOf = map[string]string{"vitals": "vitals-rpc", "dicom": "dicom-rpc", "epro": "epro-rpc"}

// invoke calls an RPC as the gateway does, by its certificate and the caller's
// token; what is for other processes only, as a partner.
func (m *matrix) invoke(t *testing.T, r access.Row, s spot, token string) error {
	t.Helper()
	service, method, _ := strings.Cut(r.Call, "/")
	process, holder := "subject-rpc", "project-api"
	if p, ok := processOf[strings.SplitN(service, ".", 2)[0]]; ok {
		process = p
	}
	if r.Where == access.PeersOnly {
		holder = "partner"
	}
	conn := m.conns[process+holder]
	if conn == nil {
		conn = dial(m.t, process, addressOf[process], holder)
		m.conns[process+holder] = conn
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		t.Fatal(err)
	}
	rpc := d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method))
	ctx, cancel := context.WithTimeout(authorized(t.Context(), token), 20*time.Second)
	defer cancel()
	return stream(ctx, conn, rpc, r.Call, requestsOf(t, rpc, s.fill(r.Body)))
}

// requestsOf reads a row's body: one request, or a list of them.
func requestsOf(t *testing.T, rpc protoreflect.MethodDescriptor, body string) (list []proto.Message) {
	t.Helper()
	texts := []json.RawMessage{json.RawMessage(body)}
	if strings.HasPrefix(body, "[") {
		if err := json.Unmarshal([]byte(body), &texts); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range texts {
		in := messageOf(t, rpc.Input())
		if err := protojson.Unmarshal(text, in); err != nil {
			t.Fatalf("the body of %s: %v", rpc.FullName(), err)
		}
		list = append(list, in)
	}
	return list
}

func messageOf(t *testing.T, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	mt, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return mt.New().Interface()
}

// stream sends the requests and reads to the end of the answers.
func stream(ctx context.Context, conn *grpc.ClientConn, rpc protoreflect.MethodDescriptor, call string, in []proto.Message) error {
	desc := &grpc.StreamDesc{ClientStreams: rpc.IsStreamingClient(), ServerStreams: rpc.IsStreamingServer()}
	s, err := conn.NewStream(ctx, desc, "/"+call)
	if err != nil {
		return err
	}
	for _, request := range in {
		if err := s.SendMsg(request); err != nil {
			break // The answer says why.
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	mt, err := protoregistry.GlobalTypes.FindMessageByName(rpc.Output().FullName())
	if err != nil {
		return err
	}
	for {
		err := s.RecvMsg(mt.New().Interface())
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil || !desc.ServerStreams {
			return err
		}
	}
}

// request calls a route of the gateway.
func (m *matrix) request(t *testing.T, method, path string, r access.Row, s spot, token string) string {
	t.Helper()
	a := &api{token: token, http: &http.Client{Transport: transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	path = strings.NewReplacer("{project_id}", s.ids["project"], "{patient_id}", s.ids["patient"], "{image_id}", s.ids["image"],
		"{upload_id}", m.upload, "{service}", "vitals", "{grant_id}", s.ids["grant"], "{sub}", url.PathEscape(fresh("a|b/c:d")),
		"{record_id}", s.ids[string(r.What)], "{file}", "swagger-ui.css", "{reason}", "TIMEOUT").Replace(path)
	body, header := []byte(s.fill(r.Body)), []string{}
	switch {
	case strings.HasPrefix(r.Body, "?"):
		path, body = path+string(body), nil
	case r.Body == "{dicom}":
		body = image(t, s.id)
	case strings.HasPrefix(path, "/v1/uploads"):
		header = []string{"Tus-Resumable", "1.0.0"}
		if method == http.MethodPost {
			body = image(t, s.id)
			header = append(header, "Upload-Length", fmt.Sprint(len(body)), "Content-Type", "application/offset+octet-stream",
				"Upload-Metadata", "patient_id "+base64Of(s.ids["patient"])+",project_id "+base64Of(s.ids["project"]))
		}
		if method == http.MethodPatch {
			header = append(header, "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
		}
	}
	answer := a.send(t, method, path, bytes.NewReader(body), header...)
	if r.Where == access.Another { // Not a problem of ours, but a short text of the protocol's, or none.
		return fmt.Sprint(answer.status)
	}
	got := statusOf(t, r.Call, answer)
	if strings.HasPrefix(got, "2") || strings.HasPrefix(got, "3") {
		return access.OK
	}
	return got
}
