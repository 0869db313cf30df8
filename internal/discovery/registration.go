package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Registration keeps one address known under one key.
type Registration struct {
	client *Client
	key    string
	addr   string

	stop       context.CancelFunc
	done       chan struct{}
	registered atomic.Bool
	lease      clientv3.LeaseID // of run until done is closed, then of Close

	closing  sync.Once
	closeErr error
}

// Register makes addr (host:port, as [RegisterAddress] gives it) known under
// key and keeps it known until Close. It returns at once and never fails: what
// goes wrong with etcd is logged and tried again, with backoff, for as long as
// it takes. Call it after the server listens.
func (c *Client) Register(key, addr string) *Registration {
	ctx, stop := context.WithCancel(c.life)
	r := &Registration{client: c, key: key, addr: addr, stop: stop, done: make(chan struct{})}
	registeredGauge.WithLabelValues(key).Set(0)
	if !c.background(func() { defer close(r.done); r.run(ctx) }) {
		close(r.done)
	}
	return r
}

// Registered reports whether etcd confirmed the registration in the latest
// exchange. False does not mean that callers have lost the address: they keep
// it while etcd is away. So it is nothing for /readyz to wait for.
func (r *Registration) Registered() bool { return r.registered.Load() }

// Close deregisters: callers are told within moments. It takes no longer than
// ctx allows, 2 s at the most. An error means that etcd could not be told and
// forgets the address by itself when the lease (10 s) runs out. Further calls
// return the first one's result.
func (r *Registration) Close(ctx context.Context) error {
	r.closing.Do(func() {
		r.stop()
		<-r.done // prompt: every call of run honours its context
		r.closeErr = r.revoke(ctx)
	})
	return r.closeErr
}

func (r *Registration) revoke(ctx context.Context) error {
	r.confirm(false)
	if r.lease == clientv3.NoLease {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.client.pace.call)
	defer cancel()
	_, err := r.client.etcd.Revoke(ctx, r.lease)
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("deregister %s from %s: %w; etcd forgets it within %v", r.addr, r.key, err, r.client.pace.lease)
	}
	return nil
}

func (r *Registration) run(ctx context.Context) {
	for failures := 0; ; {
		err := r.beat(ctx)
		if ctx.Err() != nil {
			return
		}
		r.report(err, failures)
		pause := r.client.pace.beat()
		if err != nil {
			failures++
			pause = r.client.pace.retry(failures)
		} else {
			failures = 0
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// report logs the changes, not each failure of a long absence.
func (r *Registration) report(err error, failuresBefore int) {
	switch {
	case err != nil && failuresBefore == 0:
		logx.Errorf("discovery: %s is not registered under %s, trying on: %v", r.addr, r.key, explained(err))
	case err == nil && !r.registered.Load():
		logx.Infof("discovery: %s is registered under %s", r.addr, r.key)
	}
	r.confirm(err == nil)
}

// explained says what an operator can do about etcd's "permission denied".
func explained(err error) error {
	if errors.Is(err, rpctypes.ErrPermissionDenied) || errors.Is(err, rpctypes.ErrUserEmpty) || errors.Is(err, rpctypes.ErrUserNotFound) {
		return fmt.Errorf("%w: the common name of this process's certificate is not an etcd user, or its role does not hold the key", err)
	}
	return err
}

func (r *Registration) confirm(ok bool) {
	r.registered.Store(ok)
	registeredGauge.WithLabelValues(r.key).Set(oneIf(ok))
	if ok {
		contactGauge.SetToCurrentTime()
	}
}

// beat is one sign of life. A lease that etcd does not know any more (expired,
// data wiped) is replaced at once.
func (r *Registration) beat(ctx context.Context) error {
	if r.lease != clientv3.NoLease {
		err := r.prolong(ctx)
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return err
		}
	}
	if err := r.grant(ctx); err != nil {
		return err
	}
	return r.put(ctx)
}

// prolong puts the key first: a key that somebody deleted comes back, and the
// put fails at once where KeepAliveOnce would wait for a connection.
func (r *Registration) prolong(ctx context.Context) error {
	if err := r.put(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.client.pace.call)
	defer cancel()
	if _, err := r.client.etcd.KeepAliveOnce(ctx, r.lease); err != nil {
		return fmt.Errorf("keep lease alive: %w", err)
	}
	return nil
}

func (r *Registration) grant(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.client.pace.call)
	defer cancel()
	resp, err := r.client.etcd.Grant(ctx, int64(r.client.pace.lease/time.Second))
	if err != nil {
		return fmt.Errorf("grant lease: %w", err)
	}
	r.lease = resp.ID
	return nil
}

// put writes the key unless it is there as it should be: a needless write would
// wake every watcher.
func (r *Registration) put(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.client.pace.call)
	defer cancel()
	key := fmt.Sprintf("%s%d", prefix(r.key), r.lease)
	_, err := r.client.etcd.Txn(ctx).
		If(clientv3.Compare(clientv3.Value(key), "=", r.addr),
			clientv3.Compare(clientv3.LeaseValue(key), "=", r.lease)).
		Else(clientv3.OpPut(key, r.addr, clientv3.WithLease(r.lease))).
		Commit()
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return nil
}

// prefix is what go-zero puts between a service's key and the lease id.
func prefix(key string) string { return key + "/" }
