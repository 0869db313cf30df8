package discovery

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Why a list is not confirmed. The texts end up in the errors of callers.
const (
	notAskedYet     = "etcd has not answered yet"
	etcdUnreachable = "etcd unreachable"
	nobodyThere     = "nothing is registered"
)

// addressList follows one key. The watch says when to look, a full read says
// what is there, and a read every few seconds makes up for whatever the watch
// misses: compaction, a lost stream, a store replaced by an empty one whose
// revisions begin again (a resumed watch would wait for the old ones for ever).
type addressList struct {
	key  string
	etcd *clientv3.Client
	pace pace

	mu   sync.Mutex
	view view
}

// view is what is known at one moment.
type view struct {
	addresses []string      // last known good, sorted, never changed in place; empty only before the first
	doubt     string        // why etcd does not confirm them; empty: it does
	changed   chan struct{} // closed when there is a newer view
}

// watchKey returns the list of key, followed since somebody first asked for it.
// It is followed until the client is closed, not until the last resolver is:
// gRPC closes the resolver of an idle connection, and the address known before
// must still be there when the connection wakes while etcd is away.
func (c *Client) watchKey(key string) (*addressList, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("resolve %s: the discovery client is closed", key)
	}
	l, ok := c.lists[key]
	if !ok {
		l = &addressList{key: key, etcd: c.etcd, pace: c.pace,
			view: view{doubt: notAskedYet, changed: make(chan struct{})}}
		l.measure()
		c.lists[key] = l
		c.running.Go(func() { l.run(c.life) })
	}
	return l, nil
}

func (l *addressList) current() view {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.view
}

// run starts the watch anew whenever etcd's history was replaced.
func (l *addressList) run(ctx context.Context) {
	for ctx.Err() == nil {
		hint := make(chan struct{}, 1)
		watching, stop := context.WithCancel(ctx)
		var watcher sync.WaitGroup
		watcher.Go(func() { l.watch(watching, hint) })
		l.readUntilReplaced(ctx, hint)
		stop()
		watcher.Wait()
	}
}

// watch gives a hint when it begins to see, and for whatever it then sees.
func (l *addressList) watch(ctx context.Context, hint chan<- struct{}) {
	for failures := 1; ; failures++ {
		stream, stop := context.WithCancel(clientv3.WithRequireLeader(ctx))
		for resp := range l.etcd.Watch(stream, prefix(l.key), clientv3.WithPrefix(), clientv3.WithCreatedNotify()) {
			if resp.Err() != nil {
				break
			}
			failures = 1
			select {
			case hint <- struct{}{}:
			default: // a hint is waiting already
			}
		}
		stop()
		if !sleep(ctx, l.pace.retry(failures)) {
			return
		}
	}
}

// readUntilReplaced reads the list at each hint and at the latest after relist.
// It returns when etcd's revision went backwards or ctx ended.
func (l *addressList) readUntilReplaced(ctx context.Context, hint <-chan struct{}) {
	var newest int64
	for failures := 0; ; {
		revision, err := l.read(ctx)
		pause := l.pace.relist
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
			pause = l.pace.retry(failures)
		case revision < newest:
			return
		default:
			failures, newest = 0, revision
		}
		due := time.NewTimer(jitter(pause))
		select {
		case <-hint:
		case <-due.C:
		case <-ctx.Done():
		}
		due.Stop()
	}
}

// read asks etcd for the whole list and takes over what it says.
func (l *addressList) read(ctx context.Context) (revision int64, err error) {
	bounded, cancel := context.WithTimeout(ctx, l.pace.call)
	defer cancel()
	resp, err := l.etcd.Get(bounded, prefix(l.key), clientv3.WithPrefix())
	if err != nil {
		if ctx.Err() == nil {
			l.update(nil, etcdUnreachable, err)
		}
		return 0, err
	}
	contactGauge.SetToCurrentTime()
	if found := addressesIn(resp); len(found) > 0 {
		l.update(found, "", nil)
	} else {
		l.update(nil, nobodyThere, fmt.Errorf("no key under %s holds an address", prefix(l.key)))
	}
	return resp.Header.Revision, nil
}

// addressesIn is sorted and without doubles: a process that restarted quickly
// is listed twice until its old lease ends.
func addressesIn(resp *clientv3.GetResponse) []string {
	var found []string
	for _, kv := range resp.Kvs {
		addr := string(kv.Value)
		if _, _, err := net.SplitHostPort(addr); err != nil {
			logx.Errorf("discovery: %s holds %q, which is not host:port: ignored", kv.Key, addr)
			continue
		}
		found = append(found, addr)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// update makes a new view if anything changed: found replaces the known
// addresses, unless it is empty: then they stay, in doubt. That also holds when
// the last server deregistered in good order: a connection attempt to it fails
// soon enough, and a wiped store must look no different.
func (l *addressList) update(found []string, doubt string, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(found) == 0 {
		found = l.view.addresses
	}
	if doubt == l.view.doubt && slices.Equal(found, l.view.addresses) {
		return
	}
	if doubt == "" {
		logx.Infof("discovery: %s is at %s", l.key, strings.Join(found, ", "))
	} else {
		logx.Errorf("discovery: %s: %s (%v); known addresses that stay in use: %d", l.key, doubt, cause, len(found))
	}
	close(l.view.changed)
	l.view = view{addresses: found, doubt: doubt, changed: make(chan struct{})}
	l.measure()
}

func (l *addressList) measure() {
	addressesGauge.WithLabelValues(l.key).Set(float64(len(l.view.addresses)))
	staleGauge.WithLabelValues(l.key).Set(oneIf(l.view.doubt != ""))
}
