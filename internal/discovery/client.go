// Package discovery lets the processes of the suite find each other through
// etcd. A server registers the address that it listens on under its key
// (vitals.rpc); a client's gRPC resolver turns that key into the list of
// addresses, kept up to date.
//
// Keys and values lie in etcd exactly as go-zero's core/discov puts them: key
// "vitals.rpc/<lease id in decimal>", value "host:port". So a go-zero client
// finds our servers, and our clients find a go-zero server.
//
// What differs from core/discov is what happens when etcd is not well, because
// losing etcd must never cost a call between two healthy processes:
//
//   - Nothing here waits for etcd at start, and nothing fails for want of it: a
//     server registers as soon as etcd answers, a client resolves as soon as
//     somebody is registered.
//   - A client keeps the last known good list while etcd is away, and when etcd
//     comes back empty. A dead address in that list costs a failed connection
//     attempt, an empty list costs every call.
//   - A registration that is lost (lease expired, data wiped) is made again
//     within a third of its lease.
//   - The TLS configuration is the caller's *tls.Config. Its GetClientCertificate
//     and VerifyConnection are asked at each handshake, so certificates reload.
//
// A process makes one [Client]. Every exchange with etcd has a deadline, except
// the watch, which is only a hint: the list is also read afresh every few
// seconds.
package discovery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Config is the article's Etcd block: where etcd is and under which key a
// service registers or is looked up. TLS files stand in their own block and
// reach NewClient as a *tls.Config.
type Config struct {
	Hosts []string // host:port of each etcd member, without a scheme
	Key   string   // service key, such as vitals.rpc; no slash
}

// Validate says what is wrong with c, naming the YAML key and the way out.
func (c Config) Validate() error {
	if err := checkHosts(c.Hosts); err != nil {
		return err
	}
	return checkKey(c.Key)
}

// checkHosts refuses URLs because etcd's client takes "http://" in front of a
// host as the wish to drop TLS, without a word.
func checkHosts(hosts []string) error {
	if len(hosts) == 0 {
		return errors.New("Etcd.Hosts is empty: name at least one etcd member as host:port")
	}
	for _, h := range hosts {
		host, port, err := net.SplitHostPort(h)
		if err != nil || host == "" || port == "" || strings.ContainsAny(h, "/@") {
			return fmt.Errorf("Etcd.Hosts: %q is not host:port: write it without a scheme, as in 127.0.0.1:2379", h)
		}
	}
	return nil
}

// checkKey refuses the slash because it separates key and lease id: whoever
// watches "a" would also see what is registered under "a/b".
func checkKey(key string) error {
	if key == "" {
		return errors.New("Etcd.Key is empty: name the service's key, as in vitals.rpc")
	}
	if strings.ContainsRune(key, '/') {
		return fmt.Errorf("Etcd.Key: %q must not hold a slash", key)
	}
	return nil
}

// Client is the one connection of a process to etcd. It is safe for use by
// several goroutines.
type Client struct {
	etcd *clientv3.Client
	pace pace

	life    context.Context // ends with Close; parent of every background call
	end     context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	lists  map[string]*addressList // by key, kept until Close: see watchKey
}

// NewClient makes the client without waiting for etcd. It fails only for what
// no waiting cures: hosts that are not host:port, or no TLS configuration. A
// tls.Config without a ServerName has each member's certificate checked against
// its host as given in hosts.
func NewClient(hosts []string, tlsConfig *tls.Config) (*Client, error) {
	return newClient(hosts, tlsConfig, productionPace)
}

func newClient(hosts []string, tlsConfig *tls.Config, p pace) (*Client, error) {
	if err := checkHosts(hosts); err != nil {
		return nil, err
	}
	if tlsConfig == nil {
		return nil, errors.New("etcd client: no TLS configuration: etcd is spoken to by mutual TLS only")
	}
	etcd, err := clientv3.New(clientv3.Config{
		Endpoints:            hosts,
		TLS:                  tlsConfig,
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    10 * time.Second, // finds a member that hangs; etcd refuses less than 5 s
		DialKeepAliveTimeout: 3 * time.Second,
		MaxUnaryRetries:      1,            // we retry, at our own pace, and want to see the cause
		Logger:               zap.NewNop(), // errors reach us as values; what matters is logged once
		DialOptions: []grpc.DialOption{
			// gRPC's own backoff grows to two minutes: too long to find
			// etcd again after a break.
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: p.retryMin, Multiplier: 1.6, Jitter: 0.2, MaxDelay: p.retryMax},
				MinConnectTimeout: 3 * time.Second,
			}),
			grpc.WithNoProxy(), // etcd stands inside; HTTPS_PROXY is for what stands outside
			grpc.WithChainUnaryInterceptor(failFast),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("etcd client: %w", err)
	}
	c := &Client{etcd: etcd, pace: p, lists: make(map[string]*addressList)}
	c.life, c.end = context.WithCancel(etcd.Ctx())
	return c, nil
}

// failFast overrides etcd's own choice to wait for a connection, which hides
// why there is none (refused, bad certificate) behind "deadline exceeded".
func failFast(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(ctx, method, req, reply, cc, append(opts, grpc.WaitForReady(false))...)
}

// Close ends every watch and registration loop and the connection. It does not
// deregister: close each [Registration] first. Resolvers that are still in use
// keep the list they have.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	c.running.Wait()
	if err := c.etcd.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("close etcd client: %w", err)
	}
	return nil
}

// background runs f until Close, which waits for it; false when c is closed.
func (c *Client) background(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running.Go(f)
	return true
}
