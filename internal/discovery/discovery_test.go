package discovery

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const key = "vitals.rpc"

func mustClose(t *testing.T, r *Registration) {
	t.Helper()
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// At production pace the periodic read comes too late for the bounds here, and
// so does the end of a lease: what is seen, the watch has seen.
func TestReplicasComeAndGo(t *testing.T) {
	etcd := startEtcd(t)
	server, caller := etcd.newClient(productionPace), etcd.newClient(productionPace)
	a, b := startReplica(t), startReplica(t)

	regA := server.Register(key, a)
	conn := dial(t, caller, key, "round_robin")
	eventually(t, 10*time.Second, "first call", func() bool { _, err := call(t, conn); return err == nil })

	regB := server.Register(key, b)
	eventually(t, 2*time.Second, "calls reach both replicas", func() bool { return len(reached(t, conn)) == 2 })
	if n := gauge(t, "clinsource_discovery_addresses", key); n != 2 {
		t.Errorf("addresses gauge = %v, want 2", n)
	}

	mustClose(t, regB)
	eventually(t, 2*time.Second, "calls reach A alone", func() bool { who := reached(t, conn); return len(who) == 1 && who[a] })

	mustClose(t, regA)
	mustClose(t, regA) // twice is once
	if keys := etcd.keys(key); len(keys) != 0 {
		t.Errorf("after Close etcd still holds %v", keys)
	}
	eventually(t, 2*time.Second, "the last address is marked stale", func() bool { return gauge(t, "clinsource_discovery_stale", key) == 1 })
	if who := reached(t, conn); !who[a] {
		t.Errorf("the last replica deregistered: calls reach %v, want it kept", who)
	}

	regC := server.Register(key, b)
	defer mustClose(t, regC)
	eventually(t, 2*time.Second, "a newcomer replaces the stale address", func() bool { who := reached(t, conn); return len(who) == 1 && who[b] })
	if s := gauge(t, "clinsource_discovery_stale", key); s != 0 {
		t.Errorf("stale gauge = %v with a confirmed list", s)
	}
}

// One stream of calls runs through all of it and must not lose a single one.
func TestEtcdKilledRestartedWiped(t *testing.T) {
	etcd := startEtcd(t)
	server, caller := etcd.newClient(quick), etcd.newClient(quick)
	reg := server.Register(key, startReplica(t))
	conn := dial(t, caller, key, "round_robin")
	eventually(t, 10*time.Second, "registered and seen", func() bool { _, err := call(t, conn); return err == nil && reg.Registered() })
	calls := startTraffic(t, conn)

	etcd.kill()
	eventually(t, 5*time.Second, "both sides notice", func() bool {
		return !reg.Registered() && gauge(t, "clinsource_discovery_stale", key) == 1 && gauge(t, "clinsource_discovery_registered", key) == 0
	})
	time.Sleep(quick.lease) // and stay calm beyond the lease
	if _, err := call(t, dial(t, caller, key, "round_robin")); err != nil {
		t.Errorf("a connection made while etcd is away must have the known address: %v", err)
	}

	confirmed := func() bool {
		return reg.Registered() && gauge(t, "clinsource_discovery_stale", key) == 0 && gauge(t, "clinsource_discovery_registered", key) == 1
	}
	etcd.start()
	eventually(t, 10*time.Second, "confirmed again with the same data", confirmed)

	etcd.kill()
	etcd.wipe()
	etcd.start()
	eventually(t, 10*time.Second, "a new key in the wiped store", func() bool { return len(etcd.keys(key)) == 1 })
	second := server.Register(key, startReplica(t))
	eventually(t, 10*time.Second, "the caller reads the new store", func() bool { return len(reached(t, conn)) == 2 && confirmed() })

	mustClose(t, second)
	mustClose(t, reg)
	calls.mustBeWhole(t)
}

// The revisions of a wiped store begin again, and a watch that was resumed
// waits for the old ones: only a renewed watch shows what comes next.
func TestWatchLivesAfterWipe(t *testing.T) {
	etcd := startEtcd(t)
	rarely := quick
	rarely.relist = 4 * time.Second
	server, caller := etcd.newClient(quick), etcd.newClient(rarely)
	for range 5 { // five registrations on, the revision is far ahead of a new store's
		reg := server.Register(key, "127.0.0.1:1")
		eventually(t, 10*time.Second, "registered", reg.Registered)
		mustClose(t, reg)
	}
	list, err := caller.watchKey(key)
	if err != nil {
		t.Fatal(err)
	}
	reg := server.Register(key, "127.0.0.1:2")
	eventually(t, 10*time.Second, "seen", func() bool { return list.current().doubt == "" })

	etcd.kill()
	etcd.wipe()
	etcd.start()
	sees := func(n int) func() bool { return func() bool { return len(list.current().addresses) == n } }
	second := server.Register(key, "127.0.0.1:3")
	eventually(t, 10*time.Second, "a newcomer is seen by the next read at the latest", sees(2))
	third := server.Register(key, "127.0.0.1:4")
	eventually(t, rarely.relist/2, "the next one is seen by the watch", sees(3))
	mustClose(t, third)
	mustClose(t, second)
	mustClose(t, reg)
}

// The watch alone must survive that its place in history is compacted away: no
// periodic read helps it here.
func TestWatchSurvivesCompaction(t *testing.T) {
	etcd := startEtcd(t)
	hourly := quick
	hourly.relist = time.Hour
	list, err := etcd.newClient(hourly).watchKey(key)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "first answer", func() bool { return list.current().doubt == nobodyThere })

	etcd.kill() // history goes on and is compacted at a port that the client does not know
	known := etcd.host
	etcd.host = freeAddress(t)
	etcd.start()
	etcd.operator("operator", func(ctx context.Context, c *clientv3.Client) error {
		var revision int64
		for i := range 20 {
			resp, err := c.Put(ctx, prefix(key)+"1", fmt.Sprintf("127.0.0.1:%d", i+1))
			if err != nil {
				return err
			}
			revision = resp.Header.Revision
		}
		_, err := c.Compact(ctx, revision, clientv3.WithCompactPhysical())
		return err
	})
	etcd.kill()
	etcd.host = known
	etcd.start()
	eventually(t, 10*time.Second, "seen past the compaction", func() bool {
		v := list.current()
		return len(v.addresses) == 1 && v.addresses[0] == "127.0.0.1:20"
	})
}

func TestEtcdAwayAtStart(t *testing.T) {
	etcd := newEtcd(t)
	server, caller := etcd.newClient(quick), etcd.newClient(quick)
	reg := server.Register(key, startReplica(t))
	conn := dial(t, caller, key, "pick_first")

	began := time.Now()
	_, err := call(t, conn)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the first call failed only after %v", took)
	}
	wantUnavailable(t, err, "no address known for vitals.rpc yet (etcd unreachable)")
	if reg.Registered() {
		t.Error("Registered without an etcd")
	}

	etcd.start()
	eventually(t, 10*time.Second, "registered and resolved", func() bool { _, err := call(t, conn); return err == nil && reg.Registered() })
	mustClose(t, reg)
}

func TestNobodyRegistered(t *testing.T) {
	conn := dial(t, startEtcd(t).newClient(quick), key, "pick_first")
	eventually(t, 10*time.Second, "the caller is told why", func() bool {
		_, err := call(t, conn)
		return status.Code(err) == codes.Unavailable &&
			contains(err, "no address known for vitals.rpc yet (nothing is registered)")
	})
}

// What others do to our key is undone with the next sign of life.
func TestKeyComesBack(t *testing.T) {
	etcd := startEtcd(t)
	reg := etcd.newClient(quick).Register(key, "127.0.0.1:1")
	eventually(t, 10*time.Second, "registered", reg.Registered)
	first := etcd.keys(key)

	etcd.operator("operator", func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Delete(ctx, first[0])
		return err
	})
	eventually(t, 3*quick.beat(), "the deleted key is back", func() bool { return len(etcd.keys(key)) == 1 })
	if now := etcd.keys(key); now[0] != first[0] {
		t.Errorf("key %s came back as %s though its lease lives", first[0], now[0])
	}

	etcd.operator("operator", func(ctx context.Context, c *clientv3.Client) error {
		leases, err := c.Leases(ctx)
		if err != nil {
			return err
		}
		_, err = c.Revoke(ctx, leases.Leases[0].ID)
		return err
	})
	eventually(t, 3*quick.beat(), "another lease", func() bool {
		now := etcd.keys(key)
		return len(now) == 1 && now[0] != first[0]
	})
	mustClose(t, reg)
}

// A lease that nobody prolongs ends: a killed process does not stay listed, and
// a living one outlasts several leases.
func TestLease(t *testing.T) {
	etcd := startEtcd(t)
	living := etcd.newClient(quick).Register(key, "127.0.0.1:1")
	killed, err := newClient([]string{etcd.host}, etcd.ca.client(etcd.ca.issue(t, "killed")), quick)
	if err != nil {
		t.Fatal(err)
	}
	dead := killed.Register(key, "127.0.0.1:2")
	eventually(t, 10*time.Second, "both registered", func() bool { return living.Registered() && dead.Registered() })
	before := etcd.keys(key)
	if err := killed.Close(); err != nil { // ends without deregistering
		t.Fatal(err)
	}
	eventually(t, 3*quick.lease, "the dead one's lease ends", func() bool { return len(etcd.keys(key)) == 1 })
	time.Sleep(2 * quick.lease)
	if now := etcd.keys(key); len(now) != 1 || now[0] != before[0] && now[0] != before[1] {
		t.Errorf("the living registration moved from one of %v to %v", before, now)
	}
	etcd.operator("operator", func(ctx context.Context, c *clientv3.Client) error {
		resp, err := c.Get(ctx, prefix(key), clientv3.WithPrefix())
		if err == nil && resp.Kvs[0].Version != 1 {
			t.Errorf("the key was written %d times: each write wakes every watcher", resp.Kvs[0].Version)
		}
		return err
	})
	mustClose(t, living)
}

// Closing a connection ends what was started for it, while the client lives on.
func TestConnectionCloseEndsResolver(t *testing.T) {
	etcd := startEtcd(t)
	c := etcd.newClient(quick)
	reg := c.Register(key, startReplica(t))
	first := dial(t, c, key, "round_robin") // starts what belongs to the client
	eventually(t, 10*time.Second, "first call", func() bool { _, err := call(t, first); return err == nil && reg.Registered() })

	before := goleak.IgnoreCurrent()
	second, err := grpc.NewClient(Target(key), c.DialOption(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, second); err != nil {
		t.Error(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if err := goleak.Find(before, goleak.IgnoreAnyFunction("google.golang.org/grpc.(*Server).handleRawConn"),
		goleak.IgnoreAnyFunction("google.golang.org/grpc.(*Server).serveStreams")); err != nil {
		t.Error(err)
	}
	mustClose(t, reg)
}

func TestCloseIsBounded(t *testing.T) {
	etcd := startEtcd(t)
	reg := etcd.newClient(quick).Register(key, "127.0.0.1:1")
	eventually(t, 10*time.Second, "registered", reg.Registered)
	etcd.kill()
	began := time.Now()
	if err := reg.Close(t.Context()); err == nil {
		t.Error("Close says that it deregistered, without an etcd")
	}
	if took := time.Since(began); took > quick.call+time.Second {
		t.Errorf("Close took %v", took)
	}
	if reg.Registered() {
		t.Error("Registered after Close")
	}
}

// A refused certificate is no end: the one that replaces it is used without a
// restart.
func TestCertificateReload(t *testing.T) {
	etcd := startEtcd(t)
	var current atomic.Pointer[tls.Certificate]
	stranger := newAuthority(t).issue(t, "process")
	current.Store(&stranger)
	cfg := etcd.ca.client(tls.Certificate{})
	cfg.Certificates = nil
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return current.Load(), nil }
	reg := etcd.newClientTLS(cfg, quick).Register(key, "127.0.0.1:1")

	time.Sleep(5 * quick.retryMax)
	if reg.Registered() {
		t.Fatal("registered with a certificate of another CA")
	}
	good := etcd.ca.issue(t, "process")
	current.Store(&good)
	eventually(t, 10*time.Second, "registered with the new certificate", reg.Registered)
	mustClose(t, reg)
}

// With etcd's authentication on, the certificate's common name is the user: a
// process may write its own key and no other.
func TestUserAuthentication(t *testing.T) {
	etcd := startEtcd(t)
	etcd.operator("root", func(ctx context.Context, c *clientv3.Client) error { return allow(ctx, c, "vitals-rpc", key) })
	own := etcd.newClientAs("vitals-rpc", quick)
	mine, foreign := own.Register(key, "127.0.0.1:1"), own.Register("epro.rpc", "127.0.0.1:1")
	eventually(t, 10*time.Second, "own key registered", mine.Registered)
	time.Sleep(3 * quick.beat())
	if !mine.Registered() || foreign.Registered() {
		t.Errorf("registered: own key %v, foreign key %v; want true, false", mine.Registered(), foreign.Registered())
	}
	mustClose(t, mine)
	mustClose(t, foreign)
}

// allow turns authentication on and lets user read and write one service key.
func allow(ctx context.Context, c *clientv3.Client, user, key string) error {
	noPassword := &clientv3.UserAddOptions{NoPassword: true}
	if _, err := c.RoleAdd(ctx, user); err != nil {
		return err
	}
	if _, err := c.RoleGrantPermission(ctx, user, prefix(key), clientv3.GetPrefixRangeEnd(prefix(key)), clientv3.PermissionType(clientv3.PermReadWrite)); err != nil {
		return err
	}
	if _, err := c.RoleAdd(ctx, "root"); err != nil {
		return err
	}
	for name, role := range map[string]string{"root": "root", user: user} {
		if _, err := c.UserAddWithOptions(ctx, name, "", noPassword); err != nil {
			return err
		}
		if _, err := c.UserGrantRole(ctx, name, role); err != nil {
			return err
		}
	}
	_, err := c.AuthEnable(ctx)
	return err
}
