package discovery

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// cluster is three real etcds.
type cluster struct {
	t       *testing.T
	ca      *authority
	members []*etcdServer
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, ca: newAuthority(t)}
	c.ca.issue(t, "etcd")
	for range 3 {
		e := &etcdServer{t: t, ca: c.ca, data: t.TempDir(), host: freeAddress(t), peer: freeAddress(t)}
		t.Cleanup(e.kill)
		c.members = append(c.members, e)
	}
	for i := range c.members {
		c.start(i)
	}
	return c
}

func (c *cluster) start(i int) {
	c.t.Helper()
	var initial []string
	for n, m := range c.members {
		initial = append(initial, fmt.Sprintf("m%d=http://%s", n, m.peer))
	}
	e := c.members[i]
	peer := "http://" + e.peer
	e.cmd = exec.Command(etcdBinary(c.t), fmt.Sprintf("--name=m%d", i), "--log-level=fatal", "--unsafe-no-fsync",
		"--heartbeat-interval=50", "--election-timeout=500", "--data-dir="+filepath.Join(e.data, "etcd"),
		"--listen-client-urls=https://"+e.host, "--advertise-client-urls=https://"+e.host,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster="+strings.Join(initial, ","),
		"--client-cert-auth", "--trusted-ca-file="+c.ca.file("ca.crt"), "--cert-file="+c.ca.file("etcd.crt"), "--key-file="+c.ca.file("etcd.key"))
	e.cmd.Stderr = os.Stderr
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) newClient(name string) *Client {
	c.t.Helper()
	var hosts []string
	for _, m := range c.members {
		hosts = append(hosts, m.host)
	}
	client, err := newClient(hosts, c.ca.client(c.ca.issue(c.t, name)), quick)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

// leader finds the member that leads.
func (c *cluster) leader() (leader int) {
	c.t.Helper()
	leader = -1
	eventually(c.t, 20*time.Second, "a leader", func() bool {
		for i, m := range c.members {
			if m.cmd == nil {
				continue
			}
			_ = m.try("operator", func(ctx context.Context, client *clientv3.Client) error {
				status, err := client.Status(ctx, m.host)
				if err == nil && status.Leader == status.Header.MemberId {
					leader = i
				}
				return err
			})
		}
		return leader >= 0
	})
	return leader
}

// Of three etcds the leader may die, and then the quorum: those who know each
// other go on, a newcomer registers when two are back.
func TestThreeMembers(t *testing.T) {
	c := startCluster(t)
	a, b := startReplica(t), startReplica(t)
	server, caller := c.newClient("vitals-rpc"), c.newClient("project-api")
	regA := server.Register(key, a)
	conn := dial(t, caller, key, "round_robin")
	eventually(t, 20*time.Second, "first call", func() bool { _, err := call(t, conn); return err == nil })
	load := startTraffic(t, conn)

	first := c.leader()
	c.members[first].kill()
	regB := server.Register(key, b)
	eventually(t, 20*time.Second, "a newcomer is found though the leader died", func() bool { return len(reached(t, conn)) == 2 })

	second := c.leader()
	c.members[second].kill() // One of three is left.
	time.Sleep(2 * quick.lease)
	regC := server.Register("epro.rpc", a)
	time.Sleep(quick.beat())
	if regC.Registered() {
		t.Error("registered without a quorum")
	}
	if len(reached(t, conn)) != 2 {
		t.Error("without a quorum a known address is not called any more")
	}
	c.start(first)
	eventually(t, 20*time.Second, "all are registered again", func() bool {
		return regA.Registered() && regB.Registered() && regC.Registered()
	})
	load.mustBeWhole(t)
	mustClose(t, regC)
	mustClose(t, regB)
	mustClose(t, regA)
}
