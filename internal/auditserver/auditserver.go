// Package auditserver gives a service's audit log to those who may read it, as
// audit.AuditService; every service registers it beside its own. Each reading is
// recorded in the log that it reads.
package auditserver

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"clinsource/internal/audit"
	"clinsource/internal/auditlog"
	"clinsource/internal/auth"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/subjects"
	auditpb "clinsource/proto/audit"
)

// Server implements auditpb.AuditServiceServer.
type Server struct {
	log      *audit.Log
	subjects subjects.Resolver
	auditpb.UnimplementedAuditServiceServer
}

var _ auditpb.AuditServiceServer = (*Server)(nil)

// New makes the server of a service's log.
func New(log *audit.Log, r subjects.Resolver) *Server { return &Server{log: log, subjects: r} }

// ListAudit implements the RPC of this name.
func (s *Server) ListAudit(ctx context.Context, in *auditpb.ListAuditRequest) (*auditpb.ListAuditResponse, error) {
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	check.Optional("patient_id", in.GetPatientId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	from, to := in.GetFrom(), in.GetTo()
	p, err := page.Parse(in.GetPageSize(), in.GetPageToken(), "audit", in.GetProjectId(), in.GetPatientId(), in.GetActor(), in.GetAction(),
		from.String(), to.String())
	if err != nil {
		return nil, err
	}
	scope, err := subjects.InProject(ctx, auth.Read, auth.Audit, in.GetProjectId())
	if err != nil {
		return nil, err
	}
	q := audit.Query{Patient: in.GetPatientId(), Actor: in.GetActor(), Action: in.GetAction(), Limit: p.Limit()}
	if from != nil {
		q.From = from.AsTime()
	}
	if to != nil {
		q.To = to.AsTime()
	}
	if p.After != nil {
		q.Before = p.After.At
	}
	list, err := audit.List(ctx, s.log.DB(), scope, q)
	if err != nil {
		return nil, records.Fault(err)
	}
	list, next := page.Trim(p, list, bySeq)
	resp := &auditpb.ListAuditResponse{NextPageToken: next, Records: s.out(list)}
	return resp, records.AuditRead(ctx, s.log.DB(), audit.Event{
		Action: "list", Kind: auth.Audit, Role: scope.Role, Project: scope.Project, Patient: in.GetPatientId(), Count: len(list),
	})
}

// ListAccess implements the RPC of this name.
func (s *Server) ListAccess(ctx context.Context, in *auditpb.ListAccessRequest) (*auditpb.ListAccessResponse, error) {
	var check ident.Checker
	check.Required("project_id", in.GetProjectId())
	check.Required("patient_id", in.GetPatientId())
	if err := check.Err(); err != nil {
		return nil, err
	}
	p, err := page.Parse(in.GetPageSize(), in.GetPageToken(), "access", in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, err
	}
	place, scope, err := subjects.Admit(ctx, s.subjects, auth.Read, auth.Audit, in.GetProjectId(), in.GetPatientId())
	if err != nil {
		return nil, err
	}
	q := audit.Query{Patient: in.GetPatientId(), Limit: p.Limit()}
	if p.After != nil {
		q.Before = p.After.At
	}
	list, err := audit.Accesses(ctx, s.log.DB(), place.Project, place.Site, q)
	if err != nil {
		return nil, records.Fault(err)
	}
	list, next := page.Trim(p, list, bySeq)
	resp := &auditpb.ListAccessResponse{Records: s.out(list), More: next != "", NextPageToken: next}
	return resp, records.AuditRead(ctx, s.log.DB(), audit.Event{
		Action: "access-log", Kind: auth.Audit, Role: scope.Role, Project: scope.Project, Site: place.Site, Patient: in.GetPatientId(), Count: len(list),
	})
}

func bySeq(f audit.Found) page.Cursor { return page.Cursor{At: f.Seq} }

func (s *Server) out(list []audit.Found) []*auditpb.AuditRecord {
	out := make([]*auditpb.AuditRecord, len(list))
	for i, f := range list {
		out[i] = &auditpb.AuditRecord{
			Service: s.log.Service(), Lane: f.Lane, Index: f.Index, Time: timestamppb.New(time.UnixMicro(f.At)), Actor: f.Actor, Role: f.Role,
			Peer: f.Peer, Source: f.Source, RequestId: f.RequestID, Method: f.Method, Action: f.Action, Kind: f.Kind, ProjectId: f.Project,
			SiteId: f.Site, PatientId: f.Patient, RecordId: f.Record, Version: int32(f.Version), Records: f.Records,
			Digest: f.Digest, Outcome: f.Outcome,
		}
		if f.Fields != "" {
			out[i].Fields = strings.Split(f.Fields, "\n")
		}
	}
	return out
}

// exportWithin bounds an export: some hours of records a second.
const exportWithin = 15 * time.Minute

// ExportAudit implements the RPC of this name.
func (s *Server) ExportAudit(_ *auditpb.ExportAuditRequest, stream grpc.ServerStreamingServer[auditpb.ExportAuditResponse]) error {
	ctx, cancel := context.WithTimeout(stream.Context(), exportWithin)
	defer cancel()
	reader := newReader(auth.UserFrom(ctx))
	if !reader.any {
		return fault.Denied(fault.ReasonRoleForbids, "no role of the caller allows to read audit")
	}
	if err := records.AuditRead(ctx, s.log.DB(), audit.Event{Action: "export", Kind: auth.Audit, Role: reader.role}); err != nil {
		return err
	}
	out := &sender{stream: stream}
	if err := s.log.Export(ctx, reader, out.line); err != nil {
		return records.Fault(err)
	}
	return out.flush()
}

// reader is what the caller of an export may read.
type reader struct {
	any    bool
	role   auth.Role
	setsUp bool
	scopes map[string]auth.Scope
}

func newReader(u *auth.User) *reader {
	r := &reader{setsUp: u.SetsUpProjects(), scopes: map[string]auth.Scope{}}
	for _, project := range u.Projects() {
		if scope, ok := u.May(auth.Read, auth.Audit, project); ok {
			r.any, r.role, r.scopes[project] = true, scope.Role, scope
		}
	}
	if r.setsUp && !r.any {
		r.any, r.role = true, auth.Admin
	}
	return r
}

// Row implements audit.Reader. What is of no project is for those who set projects up.
func (r *reader) Row(row *auditlog.Row) bool {
	if row.Project == "" {
		return r.setsUp && row.Patient == ""
	}
	scope, ok := r.scopes[row.Project]
	return ok && scope.Covers(row.Site, row.Patient)
}

// Projects implements audit.Reader: those that are the caller's to read whole.
func (r *reader) Projects() []string {
	var whole []string
	for project, scope := range r.scopes {
		if scope.AllSites && len(scope.Except) == 0 && scope.Patient == "" {
			whole = append(whole, project)
		}
	}
	slices.Sort(whole)
	return whole
}

// pieceSize is when a piece of an export is sent.
const pieceSize = 256 << 10

// sender gathers lines into pieces.
type sender struct {
	stream grpc.ServerStreamingServer[auditpb.ExportAuditResponse]
	piece  bytes.Buffer
}

func (s *sender) line(line auditlog.Line) error {
	data, err := json.Marshal(line)
	if err != nil {
		return err
	}
	s.piece.Write(append(data, '\n'))
	if s.piece.Len() < pieceSize {
		return nil
	}
	return s.flush()
}

func (s *sender) flush() error {
	if s.piece.Len() == 0 {
		return nil
	}
	err := s.stream.Send(&auditpb.ExportAuditResponse{Lines: s.piece.Bytes()})
	s.piece = bytes.Buffer{} // grpc may still hold what was sent.
	return err
}
