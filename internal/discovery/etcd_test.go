package discovery

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// etcdServer is a real etcd that demands client certificates. It keeps its
// ports and, unless wiped, its data over kill and start.
type etcdServer struct {
	t    *testing.T
	ca   *authority
	data string
	host string // host:port of clients
	peer string
	cmd  *exec.Cmd
}

// newEtcd prepares an etcd that does not run yet.
func newEtcd(t *testing.T) *etcdServer {
	t.Helper()
	e := &etcdServer{t: t, ca: newAuthority(t), data: t.TempDir(), host: freeAddress(t), peer: freeAddress(t)}
	e.ca.issue(t, "etcd")
	t.Cleanup(e.kill)
	return e
}

func startEtcd(t *testing.T) *etcdServer {
	t.Helper()
	e := newEtcd(t)
	e.start()
	return e
}

func (e *etcdServer) start() {
	e.t.Helper()
	peer := "http://" + e.peer
	e.cmd = exec.Command(etcdBinary(e.t), "--name=test", "--log-level=fatal", "--unsafe-no-fsync",
		"--data-dir="+filepath.Join(e.data, "etcd"),
		"--listen-client-urls=https://"+e.host, "--advertise-client-urls=https://"+e.host,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=test="+peer,
		"--client-cert-auth", "--trusted-ca-file="+e.ca.file("ca.crt"),
		"--cert-file="+e.ca.file("etcd.crt"), "--key-file="+e.ca.file("etcd.key"))
	e.cmd.Stderr = os.Stderr
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
}

// kill ends the process group as kill -9 does.
func (e *etcdServer) kill() {
	if e.cmd == nil {
		return
	}
	_ = syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL)
	_ = e.cmd.Wait() // "signal: killed"
	e.cmd = nil
}

func (e *etcdServer) wipe() {
	e.t.Helper()
	if err := os.RemoveAll(filepath.Join(e.data, "etcd")); err != nil {
		e.t.Fatal(err)
	}
}

// newClient is a process of the suite, with a certificate of its own.
func (e *etcdServer) newClient(p pace) *Client {
	e.t.Helper()
	return e.newClientAs("process", p)
}

func (e *etcdServer) newClientAs(name string, p pace) *Client {
	e.t.Helper()
	return e.newClientTLS(e.ca.client(e.ca.issue(e.t, name)), p)
}

func (e *etcdServer) newClientTLS(cfg *tls.Config, p pace) *Client {
	e.t.Helper()
	c, err := newClient([]string{e.host}, cfg, p)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			e.t.Error(err)
		}
	})
	return c
}

// operator runs do with a plain etcd client, as somebody at a terminal would.
func (e *etcdServer) operator(name string, do func(ctx context.Context, c *clientv3.Client) error) {
	e.t.Helper()
	if err := e.try(name, do); err != nil {
		e.t.Fatal(err)
	}
}

func (e *etcdServer) try(name string, do func(ctx context.Context, c *clientv3.Client) error) error {
	e.t.Helper()
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{e.host}, TLS: e.ca.client(e.ca.issue(e.t, name)), Logger: zap.NewNop(),
	})
	if err != nil {
		e.t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(e.t.Context(), 10*time.Second)
	defer cancel()
	return do(ctx, c)
}

// keys are the etcd keys under a service key.
func (e *etcdServer) keys(key string) (keys []string) {
	e.t.Helper()
	return e.keysAs("operator", key)
}

func (e *etcdServer) keysAs(user, key string) (keys []string) {
	e.t.Helper()
	e.operator(user, func(ctx context.Context, c *clientv3.Client) error {
		resp, err := c.Get(ctx, prefix(key), clientv3.WithPrefix())
		if err != nil {
			return err
		}
		for _, kv := range resp.Kvs {
			keys = append(keys, string(kv.Key))
		}
		return nil
	})
	return keys
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// etcdBinary is bin/etcd as make builds it, else one built here from tools/.
func etcdBinary(t *testing.T) string {
	t.Helper()
	path, err := builtEtcd()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// ownEtcdDir is what builtEtcd leaves for TestMain to remove; mostly empty.
var ownEtcdDir string

var builtEtcd = sync.OnceValues(func() (string, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	made := filepath.Join(root, "bin", "etcd")
	if _, err := os.Stat(made); err == nil {
		return made, nil
	}
	dir, err := os.MkdirTemp("", "clinsource-etcd-")
	if err != nil {
		return "", err
	}
	ownEtcdDir = dir
	own := filepath.Join(dir, "etcd")
	build := exec.Command("go", "build", "-o", own, "go.etcd.io/etcd/server/v3")
	build.Dir = filepath.Join(root, "tools")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build etcd in tools/: %w\n%s", err, out)
	}
	return own, nil
})
