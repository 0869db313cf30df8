package rpcserver

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"clinsource/internal/auth"
	"clinsource/internal/callinfo"
	"clinsource/internal/fault"
	"clinsource/internal/limits"
	"clinsource/internal/mtls"
	"clinsource/internal/telemetry"
)

const (
	defaultIdle = 30 * time.Second
	// answerMargin is kept back from the caller's deadline, so that the answer
	// that says which part ran out of time still reaches the caller.
	answerMargin = 20 * time.Millisecond
)

// guard is what every call passes before its handler.
type guard struct {
	peers     mtls.PeerList
	gate      *limits.Gate
	accounts  auth.AccountSource
	limit     time.Duration // Of a unary call; the caller's shorter one wins.
	idle      time.Duration // Of a stream without a message.
	tokenFree map[string]bool
	stopping  chan struct{} // Closed when streams are to end.
	service   Service       // Set before the first call.
}

// endStreams lets every stream that waits for its caller's next message wait no
// longer.
func (g *guard) endStreams() { close(g.stopping) }

func (g *guard) unary() []grpc.UnaryServerInterceptor {
	return []grpc.UnaryServerInterceptor{g.observeUnary, g.admitUnary}
}

func (g *guard) stream() []grpc.StreamServerInterceptor {
	return []grpc.StreamServerInterceptor{g.observeStream, g.admitStream}
}

// observeUnary is the outermost: it names the call, turns panics and errors
// into faults, counts, and logs.
func (g *guard) observeUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	ctx = named(ctx, info.FullMethod)
	if isHealth(info.FullMethod) {
		_ = grpc.SetHeader(ctx, metadata.Pairs(telemetry.VersionKey, telemetry.Version())) // For clinctl status.
	}
	start := time.Now()
	defer func() {
		err = g.conclude(ctx, info.FullMethod, start, recovered(recover(), err))
	}()
	return handler(ctx, req)
}

func (g *guard) observeStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	ctx := named(ss.Context(), info.FullMethod)
	start := time.Now()
	defer func() {
		err = g.conclude(ctx, info.FullMethod, start, recovered(recover(), err))
	}()
	return handler(srv, &stream{ServerStream: ss, ctx: ctx})
}

// panicked is the cause of a fault whose handler panicked.
type panicked struct{ stack []byte }

func (panicked) Error() string { return "panic" }

func recovered(p any, err error) error {
	if p == nil {
		return err
	}
	return fault.Internal(panicked{stack: debug.Stack()}) // The panic's value may hold data: it is dropped.
}

func named(ctx context.Context, method string) context.Context {
	id := first(ctx, callinfo.RequestIDKey)
	if !callinfo.ValidRequestID(id) {
		id = callinfo.NewRequestID()
	}
	ctx = callinfo.WithMethod(callinfo.WithRequestID(ctx, id), method)
	if name, ok := mtls.PeerName(ctx); ok {
		ctx = callinfo.WithPeer(ctx, name)
	}
	return ctx
}

func first(ctx context.Context, key string) string {
	if values := metadata.ValueFromIncomingContext(ctx, key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// conclude makes the error a caller may see, counts and logs. It logs no
// message of any request, and an error's cause only where nobody foresaw it.
func (g *guard) conclude(ctx context.Context, method string, start time.Time, err error) error {
	took := time.Since(start)
	code := codes.OK
	fields := []logx.LogField{
		logx.Field("method", method), logx.Field("request_id", callinfo.RequestID(ctx)),
		logx.Field("peer", callinfo.Peer(ctx)), logx.Field("ms", float64(took.Microseconds())/1000),
	}
	fields = append(fields, telemetry.Fields(ctx)...)
	var out error
	var reason string
	if err != nil {
		f := fault.From(err)
		code, reason, out = f.Code, f.Reason, f.GRPCStatus().Err()
		fields = append(fields, logx.Field("reason", f.Reason))
		if f.Code == codes.Internal || f.Code == codes.DataLoss || f.Reason == fault.ReasonStorageFull {
			fields = append(fields, causeOf(f)...)
		}
	}
	fields = append(fields, logx.Field("code", code.String()))
	observe(method, code, took)
	telemetry.Tell(ctx, callinfo.RequestID(ctx), reason)
	switch {
	case code == codes.Internal || code == codes.DataLoss:
		logx.Errorw("call", fields...)
	case !isHealth(method):
		logx.Infow("call", fields...)
	}
	return out
}

func causeOf(f *fault.Error) []logx.LogField {
	var p panicked
	if errors.As(f, &p) {
		return []logx.LogField{logx.Field("stack", string(p.stack))}
	}
	if cause := f.Unwrap(); cause != nil {
		return []logx.LogField{logx.Field("cause", cause.Error())}
	}
	return nil
}

func isHealth(method string) bool {
	return method == healthpb.Health_Check_FullMethodName || method == healthpb.Health_Watch_FullMethodName
}

func (g *guard) admitUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	ctx, leave, err := g.admit(ctx, info.FullMethod)
	defer func() { g.recordRefusal(ctx, req, err) }()
	if err != nil {
		return nil, err
	}
	defer leave()
	within, cancel := g.limited(ctx)
	defer cancel()
	if err := within.Err(); err != nil {
		return nil, fault.From(err)
	}
	return handler(within, req)
}

// limited gives the context the service's own limit, or the caller's if that is
// nearer, less the margin to answer in.
func (g *guard) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := g.limit
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)-answerMargin)
	}
	return context.WithTimeout(ctx, limit)
}

func (g *guard) admitStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, leave, err := g.admit(ss.Context(), info.FullMethod)
	if err != nil {
		g.recordRefusal(ctx, nil, err)
		return err
	}
	defer leave()
	idle := g.idle
	if isHealth(info.FullMethod) {
		idle = 0 // A watch is silent by nature.
	}
	passing := &stream{ServerStream: ss, ctx: ctx, idle: idle, stopping: g.stopping}
	err = handler(srv, passing)
	g.recordRefusal(ctx, passing.first, err)
	return err
}

// relay is the process that has verified the token and limited its source before it
// calls: what comes through it is many people's.
const relay = "project-api"

// admit checks the peer, then the token with its bearer's limits, then the account;
// leave is called when the call has ended. A refusal too comes with a context, which
// names whom it was given to as far as that is known.
func (g *guard) admit(ctx context.Context, method string) (_ context.Context, leave func(), err error) {
	process := callinfo.Peer(ctx)
	if !g.peers.Allow(method, process) && !(isHealth(method) && g.peers.Knows(process)) {
		return ctx, nil, fault.Denied(fault.ReasonPeerNotAllowed, "the process "+process+" is not on the list of peers of this gRPC service")
	}
	if g.tokenFree[method] || isHealth(method) {
		return ctx, func() {}, nil
	}
	authorization := first(ctx, callinfo.AuthorizationKey)
	verified, leave, err := g.gate.Admit(ctx, sourceOf(ctx, process), authorization)
	if err != nil {
		return ctx, nil, err
	}
	user, err := auth.Resolve(ctx, g.accounts, verified)
	if err != nil {
		leave()
		return auth.WithUser(ctx, &auth.User{Issuer: verified.Issuer, Subject: verified.Subject}), nil, err // Who was refused, for the audit.
	}
	return callinfo.WithAuthorization(auth.WithUser(ctx, user), authorization), leave, nil
}

// sourceOf is where a call comes from, for the limits: process and address.
func sourceOf(ctx context.Context, process string) string {
	from, ok := peer.FromContext(ctx)
	if process == relay || !ok {
		return ""
	}
	return process + " " + limits.Source(from.Addr.String())
}
