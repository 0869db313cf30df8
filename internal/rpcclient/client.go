// Package rpcclient is the only place that builds zRPC clients. It gives every
// call between processes the same rules: mutual TLS 1.3 with the server's name
// checked, addresses from etcd (internal/discovery), no call without a deadline,
// a bound on calls at once (a bulkhead: a downstream that hangs fills its own
// compartment and no other), the caller's token and request id passed on,
// retries by the service config of the client package (on another replica where
// there is one), a second attempt beside a slow first one (hedge.go), replicas
// left out that hang or fail (picker.go), and a breaker for a service that has
// been silent for long (breaker.go).
//
// go-zero's client interceptors are off: Duration prints requests, Breaker
// answers with an error that is no status and turns one caller's timeout into
// another's refusal.
package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/discov"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"clinsource/internal/callinfo"
	"clinsource/internal/discovery"
	"clinsource/internal/fault"
	"clinsource/internal/mtls"
	"clinsource/internal/telemetry"
)

// Config is one downstream service in a YAML, with the keys that go-zero's
// readers expect. What this package decides for all clients (timeouts, blocking,
// balancing, middlewares) has no key, so that none is taken and then ignored.
type Config struct {
	Etcd        EtcdKey
	Tls         mtls.ClientFiles
	MaxInFlight int `json:",default=512,range=[256:100000]"` // Calls at once; more are refused at once.
}

// EtcdKey says under which key of which etcd the servers are found. The client's
// own certificate (Tls) is the one that etcd sees.
type EtcdKey struct {
	Hosts []string
	Key   string
}

// Check reads the files that the config names, without connecting.
func (c Config) Check() error {
	if c.Etcd.Key == "" {
		return errors.New("Etcd.Key is missing: which service is called")
	}
	_, err := mtls.NewClient(c.Tls)
	return err
}

// maxMessage bounds an answer; lists of 1000 records stay well below.
const maxMessage = 16 << 20

// New makes a client that finds its servers through etcd. serviceConfig is the
// client package's retry policy. It does not wait: servers, and etcd itself,
// may come later.
func New(c Config, serviceConfig string) (zrpc.Client, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	files, err := mtls.NewClient(c.Tls)
	if err != nil {
		return nil, err
	}
	etcd, err := EtcdOf(c)
	if err != nil {
		return nil, err
	}
	b := newBulkhead(c.Etcd.Key, c.MaxInFlight)
	target := zrpc.RpcClientConf{Target: discovery.Target(c.Etcd.Key), NonBlock: true} // No Timeout: the context decides.
	opts := []zrpc.ClientOption{
		zrpc.WithTransportCredentials(files.Credentials()),
		zrpc.WithDialOption(etcd.DialOption()),
	}
	for _, rule := range rules(b, serviceConfig) {
		opts = append(opts, zrpc.WithDialOption(rule))
	}
	return zrpc.NewClient(target, opts...)
}

// rules are the dial options that do not depend on who and where the server is.
func rules(b *bulkhead, serviceConfig string) []grpc.DialOption {
	silence, hedges := newBreaker(b.name), newHedger(b.name, cap(b.places))
	return []grpc.DialOption{
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithStatsHandler(attemptsTo(b.name)),
		grpc.WithStatsHandler(telemetry.ClientHandler()),
		grpc.WithChainUnaryInterceptor(b.unary, deadlined, forwardUnary, silence.unary, hedges.unary),
		grpc.WithChainStreamInterceptor(b.stream, endable, forwardStream, silence.stream),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithInitialWindowSize(streamWindow), // Fixed: the estimate would grow to 16 MiB for each slow reader of an image.
		grpc.WithInitialConnWindowSize(16 * streamWindow),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// Finds a host that is gone without a word, and not a server that is slow.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 15 * time.Second, Timeout: 10 * time.Second}),
		experimental.WithBufferPool(buffers),
		grpc.WithNoProxy(),
	}
}

// buffers has a size between gRPC's own 32 KiB and 1 MiB: the chunks of images
// came in buffers four times their size, and those are what slow readers hold.
var buffers = mem.NewTieredBufferPool(256, 4<<10, 16<<10, 32<<10, 512<<10, 1<<20)

// streamWindow is what a server may send ahead of the reader of one stream.
const streamWindow = 1 << 20

// RetryPolicy makes a service config for the services named: balancing over the
// replicas that call themselves healthy, and retries of what the contract calls
// retry safe when the server was away, throttled so that retries never become
// the load: half of the tokens are one retry for each call that may be under way.
func RetryPolicy(services ...string) string { return policy(services, nil) }

// RetryPolicyExcept is RetryPolicy for one service, of which the methods named
// are not retry safe: they are sent once.
func RetryPolicyExcept(service string, methods ...string) string {
	once := make([]string, len(methods))
	for i, m := range methods {
		once[i] = fmt.Sprintf(`{"name":[{"service":%q,"method":%q}]}`, service, m)
	}
	return policy([]string{service}, once)
}

func policy(services, once []string) string {
	names := make([]string, len(services))
	for i, s := range services {
		names[i] = fmt.Sprintf(`{"service":%q}`, s)
	}
	again := fmt.Sprintf(`{"name":[%s],"retryPolicy":{"maxAttempts":3,"initialBackoff":"0.05s","maxBackoff":"0.5s",`+
		`"backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}`, strings.Join(names, ","))
	return fmt.Sprintf(`{"loadBalancingConfig":[{%q:{}}],"healthCheckConfig":{"serviceName":""},`+
		`"retryThrottling":{"maxTokens":1000,"tokenRatio":0.1},"methodConfig":[%s]}`,
		balancerName, strings.Join(append([]string{again}, once...), ","))
}

// deadlined refuses a unary call that could wait for ever.
func deadlined(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if _, ok := ctx.Deadline(); !ok {
		return fault.Invalid(fault.ReasonNoDeadline, "the call has no deadline: give its context one")
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}

func forwardUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(forwarded(ctx), method, req, reply, cc, opts...)
}

// endable refuses a stream that nothing could ever end. A stream needs no
// deadline, a large image may take its time; it needs a context that whoever
// watches its progress can cancel.
func endable(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if ctx.Done() == nil {
		return nil, fault.Invalid(fault.ReasonNoDeadline, "the stream has neither a deadline nor a way to be cancelled: give its context one")
	}
	return streamer(ctx, desc, cc, method, opts...)
}

func forwardStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return streamer(forwarded(ctx), desc, cc, method, opts...)
}

// forwarded passes on who asked, by token, and for which request.
func forwarded(ctx context.Context) context.Context {
	if id := callinfo.RequestID(ctx); id != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, callinfo.RequestIDKey, id)
	}
	if token := callinfo.Authorization(ctx); token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, callinfo.AuthorizationKey, token)
	}
	return ctx
}

var (
	etcdMu      sync.Mutex
	etcdClients = map[string]*discovery.Client{}
)

// EtcdOf gives the process's client for the etcd that a downstream is found in.
func EtcdOf(c Config) (*discovery.Client, error) {
	return Etcd(discov.EtcdConf{
		Hosts: c.Etcd.Hosts, Key: c.Etcd.Key, CertFile: c.Tls.CertFile, CertKeyFile: c.Tls.KeyFile, CACertFile: c.Tls.CaFile,
	})
}

// Etcd gives the process's client for these etcd hosts, one for all of its
// uses. CertFile, CertKeyFile and CACertFile are required: etcd is spoken to by
// mutual TLS only. Every member's certificate must carry the DNS name "etcd".
func Etcd(c discov.EtcdConf) (*discovery.Client, error) {
	if len(c.Hosts) == 0 || c.Key == "" {
		return nil, errors.New("Etcd needs Hosts and Key")
	}
	if c.User != "" || c.Pass != "" {
		return nil, errors.New("Etcd.User and Etcd.Pass: etcd knows a process by its certificate's common name; leave both out")
	}
	etcdMu.Lock()
	defer etcdMu.Unlock()
	hosts := slices.Sorted(slices.Values(c.Hosts))
	id := strings.Join(append(hosts, c.CertFile, c.CACertFile), "\x00")
	if client, ok := etcdClients[id]; ok {
		return client, nil
	}
	files, err := mtls.NewClient(mtls.ClientFiles{ServerName: "etcd", CaFile: c.CACertFile, CertFile: c.CertFile, KeyFile: c.CertKeyFile})
	if err != nil {
		return nil, fmt.Errorf("Etcd: %w", err)
	}
	client, err := discovery.NewClient(hosts, files.TLSConfig())
	if err != nil {
		return nil, err
	}
	etcdClients[id] = client
	return client, nil
}
