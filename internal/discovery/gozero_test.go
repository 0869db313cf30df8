package discovery

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/discov"
	"github.com/zeromicro/go-zero/core/logx"
)

// The other side of the compatibility promise, run as a process of its own.
const (
	goZeroRole  = "DISCOVERY_TEST_GOZERO" // subscribe or publish
	goZeroHost  = "DISCOVERY_TEST_HOST"
	goZeroValue = "DISCOVERY_TEST_VALUE"
	goZeroCerts = "DISCOVERY_TEST_CERTS" // directory with ca.crt, gozero.crt, gozero.key
)

// runGoZero subscribes and prints what it sees once it sees something, or
// publishes until its standard input ends.
func runGoZero(role string) {
	logx.Disable()
	hosts, certs := []string{os.Getenv(goZeroHost)}, os.Getenv(goZeroCerts)
	cert, certKey, ca := certs+"/gozero.crt", certs+"/gozero.key", certs+"/ca.crt"
	switch role {
	case "publish":
		pub := discov.NewPublisher(hosts, key, os.Getenv(goZeroValue), discov.WithPubEtcdTLS(cert, certKey, ca, false))
		if err := pub.KeepAlive(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		_, _ = os.Stdin.Read(make([]byte, 1))
	case "subscribe":
		sub, err := discov.NewSubscriber(hosts, key, discov.WithSubEtcdTLS(cert, certKey, ca, false))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for range 500 {
			if values := sub.Values(); len(values) > 0 {
				fmt.Print(strings.Join(values, ","))
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func goZeroProcess(t *testing.T, etcd *etcdServer, role, value string) *exec.Cmd {
	t.Helper()
	etcd.ca.issue(t, "gozero")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), goZeroRole+"="+role, goZeroHost+"="+etcd.host, goZeroValue+"="+value, goZeroCerts+"="+etcd.ca.dir)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestGoZeroClientFindsUs(t *testing.T) {
	etcd := startEtcd(t)
	reg := etcd.newClient(quick).Register(key, "127.0.0.1:9101")
	eventually(t, 10*time.Second, "registered", reg.Registered)
	out, err := goZeroProcess(t, etcd, "subscribe", "").Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != "127.0.0.1:9101" {
		t.Errorf("a go-zero subscriber sees %q", out)
	}
	mustClose(t, reg)
}

func TestWeFindGoZeroServer(t *testing.T) {
	etcd := startEtcd(t)
	list, err := etcd.newClient(quick).watchKey(key)
	if err != nil {
		t.Fatal(err)
	}
	publisher := goZeroProcess(t, etcd, "publish", "127.0.0.1:9109")
	stdin, err := publisher.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := publisher.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, "a go-zero publisher is seen", func() bool {
		return slices.Equal(list.current().addresses, []string{"127.0.0.1:9109"})
	})
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := publisher.Wait(); err != nil {
		t.Error(err)
	}
}
