// Package rpcserver is the only place that builds zRPC servers. It gives every
// service of the suite the same outside: mutual TLS 1.3, a list of peers per
// gRPC service, a verified user per call, a deadline on every call, faults with
// their details as the only errors, one log line and one set of metrics a call,
// registration in etcd after it listens and deregistration before it stops.
//
// A service's main loads its config, opens its store and calls New and Start;
// no service sets an interceptor or a credential itself. go-zero's own
// interceptors are off, because they print requests (Stat), let a handler run
// on after its timeout (Timeout), put addresses and error texts into spans (Trace)
// or refuse callers for the faults of others (Breaker, Shedding); what replaces them is in interceptors.go.
package rpcserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/proc"
	"github.com/zeromicro/go-zero/core/prometheus"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"clinsource/internal/auditlog"
	"clinsource/internal/auth"
	"clinsource/internal/discovery"
	"clinsource/internal/limits"
	"clinsource/internal/mtls"
	"clinsource/internal/rpcclient"
	"clinsource/internal/telemetry"
)

// Config is what every service's YAML holds: go-zero's own keys, and ours.
type Config struct {
	zrpc.RpcServerConf
	Tls      mtls.ServerFiles  // This process's certificate, and whose clients' are taken.
	Peers    mtls.PeerList     // gRPC service -> names of the processes that may call it.
	Tokens   auth.Config       // Whose bearer tokens are taken.
	Policy   auth.PolicyConfig // Who may do what.
	Audit    auditlog.Config   // What signs the audit log, and where its checkpoints go.
	Limits   limits.Config     `json:",optional"` // What one caller may take; left out, the defaults.
	AlsoKeys []string          `json:",optional"` // Further etcd keys for the same address.
	Traces   telemetry.Config  `json:",optional"` // Where traces go; left out, nothing is traced.
	// Advertise is the host:port to register where ListenOn is not what others
	// dial: a mapped port, a proxy in between.
	Advertise string `json:",optional"`
}

// Bounds that no config changes.
const (
	maxMessage       = 2 << 20 // A chunk of 1 MiB and its frame.
	maxHeaders       = 32 << 10
	maxStreams       = 1024 // Calls at once on one connection.
	deregisterWithin = 2 * time.Second
	forceQuitAfter   = 10 * time.Second
	// Of a stop, from when no new call comes any more (a second after SIGTERM):
	// calls get their answers, then long streams are told, then all is cut.
	streamsEndAfter = 2 * time.Second
	drainFor        = 4 * time.Second
)

// Server is a service that listens, is registered, and stops in good order.
type Server struct {
	config Config
	zrpc   *zrpc.RpcServer
	etcd   *discovery.Client
	health *health.Server
	guard  *guard
}

// Option changes what a server asks of its callers.
type Option func(*guard)

// WithoutToken lists methods ("/subject.SubjectResolver/ResolveSubject") that
// only the peer list guards.
func WithoutToken(methods ...string) Option {
	return func(g *guard) {
		for _, m := range methods {
			g.tokenFree[m] = true
		}
	}
}

// WithIdleLimit sets how long a stream may be silent in either direction.
func WithIdleLimit(d time.Duration) Option {
	return func(g *guard) { g.idle = d }
}

// New checks all that can be checked before listening and makes the server.
// accounts tells what the callers' accounts may do.
func New(c Config, register func(*grpc.Server), accounts auth.AccountSource, opts ...Option) (*Server, error) {
	g, options, err := serverOptions(c, register, accounts, opts...)
	if err != nil {
		return nil, err
	}
	if err := c.Policy.Load(); err != nil {
		return nil, err
	}
	if err := c.Audit.Check(); err != nil {
		return nil, err
	}
	if err := telemetry.Start(c.Name, c.Traces, c.Telemetry); err != nil {
		return nil, err
	}
	s := &Server{config: c, health: health.NewServer(), guard: g}
	if s.etcd, err = rpcclient.Etcd(c.Etcd); err != nil {
		return nil, err
	}
	prometheus.Enable()
	s.zrpc, err = zrpc.NewServer(quiet(c.RpcServerConf), func(server *grpc.Server) {
		register(server) // zrpc calls this when it listens already.
		healthpb.RegisterHealthServer(server, s.health)
		s.listening(server)
	})
	if err != nil {
		return nil, err
	}
	logx.DisableStat()
	s.zrpc.AddOptions(options...)
	proc.SetTimeToForceQuit(forceQuitAfter)
	return s, nil
}

// serverOptions checks the parts of the config that guard the calls, and makes
// of them what a grpc.Server needs.
func serverOptions(c Config, register func(*grpc.Server), accounts auth.AccountSource, opts ...Option) (*guard, []grpc.ServerOption, error) {
	credentials, err := mtls.NewServer(c.Tls)
	if err != nil {
		return nil, nil, err
	}
	verifier, err := auth.NewVerifier(c.Tokens)
	if err != nil {
		return nil, nil, err
	}
	gate, err := limits.New(c.Limits, verifier)
	if err != nil {
		return nil, nil, err
	}
	if c.Timeout <= 0 {
		return nil, nil, errors.New("Timeout must be positive: no call without a limit")
	}
	if err := c.Peers.Check(services(register)); err != nil {
		return nil, nil, err
	}
	g := &guard{
		peers: c.Peers, gate: gate, accounts: accounts, limit: time.Duration(c.Timeout) * time.Millisecond,
		idle: defaultIdle, tokenFree: map[string]bool{}, stopping: make(chan struct{}),
	}
	for _, opt := range opts {
		opt(g)
	}
	limit.Set(g.limit.Seconds())
	seen := trafficOf(register)
	return g, []grpc.ServerOption{
		grpc.StatsHandler(seen),
		grpc.StatsHandler(telemetry.ServerHandler(seen.known)),
		grpc.Creds(credentials.Credentials()),
		grpc.ChainUnaryInterceptor(g.unary()...),
		grpc.ChainStreamInterceptor(g.stream()...),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}, nil
}

// services names what register registers, and health, which New adds.
func services(register func(*grpc.Server)) []string {
	probe := grpc.NewServer()
	register(probe)
	names := slices.Collect(maps.Keys(probe.GetServiceInfo()))
	return append(names, healthpb.Health_ServiceDesc.ServiceName)
}

// quiet is the config for zrpc itself: what this package does, it must not.
func quiet(c zrpc.RpcServerConf) zrpc.RpcServerConf {
	c.Etcd.Hosts, c.Etcd.Key = nil, "" // Registration is ours.
	c.Timeout = 0
	c.CpuThreshold = 0
	c.Middlewares = zrpc.ServerMiddlewaresConf{}
	c.Telemetry.Disabled = true // Package telemetry's.
	c.Health = false            // Ours says that it stops while zrpc's would still wait.
	return c
}

// listening registers the address everywhere, and arranges the way out: at
// SIGTERM the address is taken back and health says NOT_SERVING, so that callers
// turn to others; a second later the connections are told to end after the calls
// that they carry; streams that go on for long are ended so that they can say how
// far they came; and then the rest is cut.
func (s *Server) listening(server *grpc.Server) {
	addr, err := discovery.RegisterAddress(cmp.Or(s.config.Advertise, s.config.ListenOn))
	if err != nil {
		logx.Must(fmt.Errorf("ListenOn %s: %w", s.config.ListenOn, err))
	}
	for _, key := range append([]string{s.config.Etcd.Key}, s.config.AlsoKeys...) {
		registration := s.etcd.Register(key, addr)
		proc.AddWrapUpListener(func() {
			ctx, cancel := context.WithTimeout(context.Background(), deregisterWithin)
			defer cancel()
			if err := registration.Close(ctx); err != nil {
				logx.Errorf("deregister %s: %v", key, err)
			}
		})
	}
	proc.AddWrapUpListener(s.health.Shutdown)
	proc.AddShutdownListener(func() {
		time.AfterFunc(streamsEndAfter, s.guard.endStreams)
		time.AfterFunc(drainFor, server.Stop) // GracefulStop alone waits for the last stream.
	})
	logx.Infof("%s listens on %s", s.config.Name, s.config.ListenOn)
}

// Start serves until SIGTERM or SIGINT, lets calls end, and then closes what the
// service works with.
func (s *Server) Start(service Service) error {
	s.guard.service = service
	keeping, stop := context.WithCancel(context.Background())
	go s.config.Policy.Keep(keeping)
	s.zrpc.Start()
	stop()
	err := service.Close()
	logx.Infof("%s has stopped", s.config.Name)
	return errors.Join(err, s.etcd.Close(), telemetry.Stop(context.Background()))
}

// Etcd gives the process's one etcd client, for its own callers' discovery.
func (s *Server) Etcd() *discovery.Client { return s.etcd }
