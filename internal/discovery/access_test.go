package discovery

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var theSuite = []Access{
	{User: "project-api"},
	{User: "vitals-rpc", Keys: []string{"vitals.rpc"}},
	{User: "subject-rpc", Keys: []string{"subject.rpc", "medication.rpc"}, Signals: []string{"changed"}},
}

func protectedEtcd(t *testing.T) *etcdServer {
	t.Helper()
	etcd := startEtcd(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range 2 { // Twice is once.
		for err := errors.New("not yet"); err != nil; {
			if err = Protect(ctx, []string{etcd.host}, etcd.ca.client(etcd.ca.issue(t, "suite")), "suite", theSuite); ctx.Err() != nil {
				t.Fatal(err)
			}
		}
	}
	return etcd
}

// Each process may write what is its own, and read all that it needs.
func TestProtect(t *testing.T) {
	etcd := protectedEtcd(t)
	denied := func(user, verb, key string, err error, may bool) {
		t.Helper()
		if may != (err == nil) || !may && !errors.Is(err, rpctypes.ErrPermissionDenied) {
			t.Errorf("%s may %s %s: %v, want %v", user, verb, key, err, may)
		}
	}
	for user, own := range map[string][]string{
		"project-api": {}, "vitals-rpc": {"vitals.rpc/1"}, "subject-rpc": {"subject.rpc/1", "medication.rpc/1", "signals/changed"},
		"suite": {"vitals.rpc/1", "subject.rpc/1", "medication.rpc/1", "signals/changed", "signals/other", "else"},
	} {
		c := etcd.newClientAs(user, quick).etcd
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		for _, key := range []string{"vitals.rpc/1", "subject.rpc/1", "medication.rpc/1", "signals/changed", "signals/other", "else"} {
			mine := false
			for _, o := range own {
				mine = mine || o == key
			}
			_, err := c.Put(ctx, key, "127.0.0.1:1")
			denied(user, "write", key, err, mine)
			_, err = c.Get(ctx, key)
			denied(user, "read", key, err, user == "suite" || key != "else")
		}
		cancel()
	}
	stranger := etcd.newClientAs("partner", quick)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := stranger.etcd.Get(ctx, "vitals.rpc/1"); err == nil {
		t.Error("a certificate without a user reads")
	}
}

// Under protection everything that a process does with etcd still works.
func TestDiscoveryUnderProtection(t *testing.T) {
	etcd := protectedEtcd(t)
	server, caller, registry := etcd.newClientAs("vitals-rpc", quick), etcd.newClientAs("project-api", quick), etcd.newClientAs("subject-rpc", quick)
	addr := startReplica(t)
	reg := server.Register(key, addr)
	foreign := server.Register("epro.rpc", addr)
	conn := dial(t, caller, key, "round_robin")
	eventually(t, 10*time.Second, "first call", func() bool { _, err := call(t, conn); return err == nil })
	heard := make(chan struct{}, 100)
	caller.OnSignal("changed", func() { heard <- struct{}{} })
	<-heard // It listens.
	if err := registry.Signal(t.Context(), "changed"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-heard:
	case <-time.After(5 * time.Second):
		t.Error("the signal is not heard")
	}
	if server.Signal(t.Context(), "changed") == nil {
		t.Error("vitals-rpc may say that subjects have changed")
	}
	time.Sleep(3 * quick.beat())
	if !reg.Registered() || foreign.Registered() {
		t.Errorf("registered: own %v, foreign %v", reg.Registered(), foreign.Registered())
	}
	mustClose(t, foreign)
	mustClose(t, reg)
	if keys := etcd.keysAs("suite", key); len(keys) != 0 {
		t.Errorf("after Close etcd holds %v", keys)
	}
}

// Wiped, etcd has no users and no keys; both come back by themselves.
func TestProtectionComesBack(t *testing.T) {
	etcd := protectedEtcd(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- KeepProtected(ctx, []string{etcd.host}, etcd.ca.client(etcd.ca.issue(t, "suite")), "suite", theSuite, func(error) {})
	}()
	reg := etcd.newClientAs("vitals-rpc", quick).Register(key, "127.0.0.1:1")
	eventually(t, 10*time.Second, "registered", reg.Registered)
	etcd.kill()
	etcd.wipe()
	etcd.start()
	eventually(t, 30*time.Second, "protected again", func() bool {
		var on bool
		_ = etcd.try("suite", func(ctx context.Context, c *clientv3.Client) error {
			status, err := c.AuthStatus(ctx)
			on = err == nil && status.Enabled
			return err
		})
		return on && reg.Registered() && len(etcd.keysAs("suite", key)) == 1
	})
	mustClose(t, reg)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
