package rpcserver

import (
	"context"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"clinsource/internal/auditlog"
	"clinsource/internal/auth"
	"clinsource/internal/callinfo"
	"clinsource/internal/fault"
	"clinsource/internal/ident"
)

// Service is what a server works with while it serves.
type Service interface {
	io.Closer
	// Refused records what a caller was refused.
	Refused(ctx context.Context, r auditlog.Refusal)
}

// recordRefusal records a call that ended in a refusal of access: no valid token, not on
// the list of peers, forbidden; and what a user asked for that is not there or not
// theirs to see, which are one answer.
func (g *guard) recordRefusal(ctx context.Context, req any, err error) {
	if err == nil || g.service == nil || isHealth(callinfo.Method(ctx)) {
		return
	}
	f := fault.From(err)
	known := auth.UserFrom(ctx).Subject != ""
	switch f.Code {
	case codes.PermissionDenied, codes.Unauthenticated:
	case codes.NotFound:
		if !known {
			return // Another process asked.
		}
	default:
		return
	}
	r := auditlog.Refusal{Method: callinfo.Method(ctx), Reason: f.Reason, Count: 1}
	if known {
		r.Project, r.Patient = asked(req, "project_id"), asked(req, "patient_id")
	} else {
		r.Source = callinfo.Peer(ctx)
	}
	g.service.Refused(ctx, r)
}

// asked gives an identifier of a request, if it is an allowed one: what is not may be
// anything.
func asked(req any, name protoreflect.Name) string {
	m, ok := req.(proto.Message)
	if !ok {
		return ""
	}
	field := m.ProtoReflect().Descriptor().Fields().ByName(name)
	if field == nil || field.Kind() != protoreflect.StringKind || field.IsList() {
		return ""
	}
	id := m.ProtoReflect().Get(field).String()
	var check ident.Checker
	check.Required(string(name), id)
	if check.Err() != nil {
		return ""
	}
	return id
}
