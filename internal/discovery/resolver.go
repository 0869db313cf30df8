package discovery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
)

// Scheme is the URL scheme of targets that this package resolves.
const Scheme = "clinsource"

// Target is what to dial for a service key: clinsource:///vitals.rpc.
func Target(key string) string { return Scheme + ":///" + key }

// DialOption makes a connection resolve [Target] targets by c. It is a dial
// option and not a global registration, so that two clients in one process (a
// test) do not meet. Until a first address is known, calls wait for a second
// and then fail with Unavailable.
func (c *Client) DialOption() grpc.DialOption {
	return grpc.WithResolvers(builder{c})
}

type builder struct{ client *Client }

var (
	_ resolver.Builder  = builder{}
	_ resolver.Resolver = (*keyResolver)(nil)
)

func (builder) Scheme() string { return Scheme }

// Build never waits for etcd. It fails for a target that is not
// clinsource:///key and after [Client.Close].
func (b builder) Build(target resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	key := target.Endpoint()
	if err := checkKey(key); err != nil || target.URL.Host != "" {
		return nil, fmt.Errorf("target %q: want %s", target.URL.String(), Target("<key>"))
	}
	list, err := b.client.watchKey(key)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(b.client.life)
	r := &keyResolver{list: list, cc: cc, stop: stop, done: make(chan struct{})}
	go r.run(ctx)
	return r, nil
}

// keyResolver hands the views of one list to one gRPC connection.
type keyResolver struct {
	list *addressList
	cc   resolver.ClientConn
	stop context.CancelFunc
	done chan struct{}
}

// ResolveNow does nothing: the list is always as fresh as etcd lets it be.
func (r *keyResolver) ResolveNow(resolver.ResolveNowOptions) {}

// Close returns when the connection will hear no more.
func (r *keyResolver) Close() {
	r.stop()
	<-r.done
}

func (r *keyResolver) run(ctx context.Context) {
	defer close(r.done)
	grace := time.NewTimer(r.list.pace.grace)
	defer grace.Stop()
	var (
		sent      []string
		complaint string
		late      bool
	)
	for {
		v := r.list.current()
		switch {
		case len(v.addresses) == 0 && late && v.doubt != complaint:
			complaint = v.doubt
			r.cc.ReportError(fmt.Errorf("no address known for %s yet (%s)", r.list.key, v.doubt))
		case !slices.Equal(v.addresses, sent):
			sent = v.addresses
			r.send(sent)
		}
		select {
		case <-ctx.Done():
			return
		case <-v.changed:
		case <-grace.C:
			late = true
		}
	}
}

func (r *keyResolver) send(addresses []string) {
	state := resolver.State{Addresses: make([]resolver.Address, len(addresses))}
	for i, addr := range addresses {
		state.Addresses[i].Addr = addr
	}
	if err := r.cc.UpdateState(state); err != nil {
		logx.Errorf("discovery: gRPC refuses the addresses of %s: %v", r.list.key, err)
	}
}
