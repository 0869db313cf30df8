package mtls

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"clinsource/internal/config/nearest"
)

// PeerList says which processes may call which gRPC service: the service's
// full name ("vitals.VitalsService") to the callers' certificate names. What
// is not listed is refused. Everybody on the list may ask for health.
type PeerList map[string][]string

// Check compares the list with the services that a server has registered
// (grpc.Server.GetServiceInfo) and the certificate names that exist, those of
// Processes when none are given. Every service needs a list with somebody on
// it, every list a service, every name a holder; the error names all that do
// not, each with the nearest name that would.
func (l PeerList) Check(services []string, known ...string) error {
	if len(known) == 0 {
		known = Processes()
	}
	var problems []error
	for _, service := range slices.Sorted(slices.Values(services)) {
		if len(l[service]) == 0 {
			problems = append(problems, fmt.Errorf("mtls: Peers has no callers for %s; name those that may call it", service))
		}
	}
	for _, service := range slices.Sorted(maps.Keys(l)) {
		if !slices.Contains(services, service) {
			problems = append(problems, fmt.Errorf("mtls: Peers names %s, which this server does not have; %s", service, suggest(service, services)))
		}
		for _, name := range l[service] {
			if !slices.Contains(known, name) {
				problems = append(problems, fmt.Errorf("mtls: Peers of %s names %q, which no certificate is called; %s", service, name, suggest(name, known)))
			}
		}
	}
	return errors.Join(problems...)
}

func suggest(written string, known []string) string {
	if near, ok := nearest.Of(written, known); ok {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return "known are " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
}

// Allow reports whether peer may call fullMethod, which has the form that
// gRPC gives it: /vitals.VitalsService/UploadVitals.
func (l PeerList) Allow(fullMethod, peer string) bool {
	service := serviceOf(fullMethod)
	return service != "" && peer != "" && slices.Contains(l[service], peer)
}

// Knows reports whether peer may call anything at all. Who may call a server may
// also ask it whether it is well, and clients do so before each is used.
func (l PeerList) Knows(peer string) bool {
	for _, callers := range l {
		if peer != "" && slices.Contains(callers, peer) {
			return true
		}
	}
	return false
}

// serviceOf gives the empty string for what is not a full method name.
func serviceOf(fullMethod string) string {
	path, ok := strings.CutPrefix(fullMethod, "/")
	if !ok {
		return ""
	}
	service, _, ok := strings.Cut(path, "/")
	if !ok {
		return ""
	}
	return service
}

// UnaryInterceptor refuses unary calls from peers that are not listed, with
// PermissionDenied. Install it by grpc.ChainUnaryInterceptor, so that it runs
// before anything that logs or counts a request.
func (l PeerList) UnaryInterceptor() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if err := l.admit(ctx, info.FullMethod); err != nil {
			return nil, err
		}
		return handler(ctx, req)
	}
}

// StreamInterceptor is UnaryInterceptor for streams.
func (l PeerList) StreamInterceptor() grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if err := l.admit(stream.Context(), info.FullMethod); err != nil {
			return err
		}
		return handler(srv, stream)
	}
}

func (l PeerList) admit(ctx context.Context, fullMethod string) error {
	name, ok := PeerName(ctx)
	if !ok {
		return status.Errorf(codes.PermissionDenied,
			"peer_not_allowed: %s needs a caller whose certificate has a DNS name", serviceOf(fullMethod))
	}
	if !l.Allow(fullMethod, name) {
		return status.Errorf(codes.PermissionDenied,
			"peer_not_allowed: %s may not be called by the holder of the certificate %q; the server's Peers list decides", serviceOf(fullMethod), name)
	}
	return nil
}
