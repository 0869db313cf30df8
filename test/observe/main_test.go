// Package observe holds what an operator sees of a running suite: its traces in
// an OTLP collector of our own, its metrics in a real Prometheus, and what
// clinctl status and doctor say. TestMain starts bin/suite on configs with a
// Traces block, in a network namespace of its own, so that it disturbs nobody.
package observe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inside says that this process has the namespace already.
const inside = "CLINSOURCE_OBSERVE_NETNS"

var (
	theSink *sink
	// root is the repository, home the folder that stands in for it: its etc is
	// changed, its certificates are its own.
	root, home string
)

func TestMain(m *testing.M) {
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "observe:", err)
		status = 1
	}
	os.Exit(status)
}

func run(m *testing.M) (status int, err error) {
	if root, err = filepath.Abs("../.."); err != nil {
		return 0, err
	}
	if os.Getenv(inside) == "" {
		return again()
	}
	if err := loopbackUp(); err != nil {
		return 0, err
	}
	build := exec.Command("make", "build")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("make build: %w\n%s", err, out)
	}
	if home, err = os.MkdirTemp("", "clinsource-observe-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(home)
	if theSink, err = prepare(); err != nil {
		return 0, err
	}
	defer theSink.stop()
	stop, err := startSuite()
	if err != nil {
		return 0, err
	}
	status = m.Run()
	if status != 0 {
		showErrors()
	}
	return status, stop()
}

// again runs this test binary in a network namespace of its own.
func again() (int, error) {
	c := exec.Command(os.Args[0], os.Args[1:]...)
	c.Env = append(os.Environ(), inside+"=1")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err := c.Run()
	if exited, ok := errors.AsType[*exec.ExitError](err); ok {
		return exited.ExitCode(), nil
	}
	return 0, err
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// prepare copies etc with a Traces block more, makes certificates, and starts
// the collector.
func prepare() (*sink, error) {
	if err := os.MkdirAll(home+"/etc", 0o700); err != nil {
		return nil, err
	}
	configs, err := filepath.Glob(root + "/etc/*.yaml")
	if err != nil || len(configs) == 0 {
		return nil, fmt.Errorf("no configs: %v", err)
	}
	for _, path := range configs {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		text = fmt.Appendf(text, "\nTraces:\n  Endpoint: %s\n  Tls:\n    ServerName: etcd\n    CaFile: certs/dev/ca.crt\n"+
			"    CertFile: certs/dev/%s.crt\n    KeyFile: certs/dev/%s.key\n", sinkAddr, name, name)
		if err := os.WriteFile(home+"/etc/"+name+".yaml", text, 0o600); err != nil {
			return nil, err
		}
	}
	return newSink(home + "/certs/dev")
}

// startSuite starts it and waits for its ready line.
func startSuite() (stop func() error, err error) {
	c := exec.Command(root+"/bin/suite", "--data", "var")
	c.Dir = home
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "ready ") {
		}
		ready <- lines.Err() == nil && strings.HasPrefix(lines.Text(), "ready ")
		_, _ = io.Copy(io.Discard, out)
	}()
	stop = func() error {
		_ = c.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(30*time.Second, func() { _ = c.Process.Kill() })
		defer timer.Stop()
		return c.Wait()
	}
	select {
	case ok := <-ready:
		if ok {
			return stop, nil
		}
	case <-time.After(60 * time.Second):
	}
	showErrors()
	return nil, errors.Join(errors.New("the suite did not get ready"), stop())
}

func logs() string {
	var all strings.Builder
	paths, _ := filepath.Glob(home + "/var/logs/*.log")
	for _, path := range paths {
		text, _ := os.ReadFile(path)
		all.Write(text)
	}
	return all.String()
}

// showErrors prints what went wrong, for whoever reads a failed run.
func showErrors() {
	for line := range strings.Lines(logs()) {
		if strings.Contains(line, `"level":"error"`) || strings.Contains(line, "panic") {
			fmt.Fprint(os.Stderr, line)
		}
	}
}

// clinctl runs a command of bin/clinctl in the suite's folder.
func clinctl(t testing.TB, args ...string) (out string, status int) {
	t.Helper()
	c := exec.Command(root+"/bin/clinctl", args...)
	c.Dir = home
	var complaints strings.Builder
	c.Stderr = &complaints
	text, err := c.Output()
	if exited, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(text) + complaints.String(), exited.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text), 0
}
