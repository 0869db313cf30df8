// Package observe holds what an operator sees of a running suite: its traces in
// an OTLP collector of our own, its metrics in a real Prometheus, and what
// clinctl status and doctor say. TestMain starts bin/suite on configs with a
// Traces block, in a network namespace of its own, so that it disturbs nobody.
package observe

import (
	"bufio"
	"context"
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

	"clinsource/test/netns"
)

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
	if !netns.Inside() {
		c, err := netns.Command(context.Background())
		if err != nil {
			return 0, err
		}
		return netns.Run(c)
	}
	if err := netns.LoopbackUp(); err != nil {
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

// prepare copies etc with a Traces block more, makes certificates, and starts
// the collector.
func prepare() (*sink, error) {
	if err := os.CopyFS(home+"/etc", os.DirFS(root+"/etc")); err != nil {
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
