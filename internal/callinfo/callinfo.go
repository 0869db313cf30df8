// Package callinfo carries what every part of a call wants to name: the request
// id, which ties an answer, its log lines and its audit records together, and
// the peer, the process that called. They travel in the context; between
// processes the request id travels as the metadata x-request-id.
package callinfo

import (
	"context"
	"crypto/rand"
)

// RequestIDKey is the metadata key (and, in its HTTP spelling, the header) of
// the request id.
const RequestIDKey = "x-request-id"

// AuthorizationKey is the metadata key of the caller's bearer token.
const AuthorizationKey = "authorization"

type requestIDKey struct{}
type peerKey struct{}
type authorizationKey struct{}
type methodKey struct{}

// NewRequestID makes a request id.
func NewRequestID() string { return rand.Text() }

// ValidRequestID says whether an id from outside may be used: 1 to 64 letters,
// digits, hyphens or underscores.
func ValidRequestID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := 0; i < len(id); i++ {
		c := id[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// WithRequestID puts the request id into the context.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID gives the request id of the call, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// WithPeer puts the calling process's name into the context.
func WithPeer(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, peerKey{}, name)
}

// Peer gives the name of the calling process, or "".
func Peer(ctx context.Context) string {
	name, _ := ctx.Value(peerKey{}).(string)
	return name
}

// WithAuthorization puts the caller's Authorization value into the context, for
// the calls that this one makes on the caller's behalf.
func WithAuthorization(ctx context.Context, value string) context.Context {
	return context.WithValue(ctx, authorizationKey{}, value)
}

// Authorization gives the caller's Authorization value, or "".
func Authorization(ctx context.Context) string {
	value, _ := ctx.Value(authorizationKey{}).(string)
	return value
}

// WithMethod puts the full name of the RPC into the context.
func WithMethod(ctx context.Context, method string) context.Context {
	return context.WithValue(ctx, methodKey{}, method)
}

// Method gives the full name of the RPC that the call is, or "".
func Method(ctx context.Context) string {
	method, _ := ctx.Value(methodKey{}).(string)
	return method
}
