// Package scenario tells stories over the public interfaces of the running
// suite: the HTTPS gateway, the gRPC ports, the command line, and the operating
// system's signals. TestMain builds the binaries, starts bin/suite on data of its
// own, and stops it; where another suite has the ports already, all of it runs in
// a network namespace of its own.
//
// With CLINSOURCE_TARGET=compose the same stories are told to the stack of
// deploy/docker-compose.yml (or .small.yml) that runs already on this machine, under
// certs/dev (make compose-up): nothing is built, started or stopped. What hangs a
// process there hangs all its replicas. .ci/compose leaves out (go test -skip):
// TestKilledUnderLoadLosesNothing, which times the launcher's restarts (Docker backs
// off from what is killed every second); TestImageMemory, for its 4 GiB of room;
// TestBackupDrill and TestUploadsResumeThroughCutsAndKills, which open the SQLite
// files; and those that run a binary without a suite (TestShippedConfigs...,
// TestCheckOnlyCommandLine, TestArticleTLS...).
package scenario

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"clinsource/test/netns"
)

// The suite's fixed points.
const (
	gatewayAddr = "127.0.0.1:8443"
	gatewayURL  = "https://" + gatewayAddr
	certs       = "certs/dev"
)

// theSuite is the one that TestMain started.
var theSuite *suite

func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		exit(err)
	}
	if target := os.Getenv("CLINSOURCE_TARGET"); target != "" {
		if err := useContainers(target); err != nil {
			exit(err)
		}
		os.Exit(m.Run())
	}
	if !netns.Inside() && busy(gatewayAddr) {
		status, err := inNamespace()
		if err != nil {
			exit(fmt.Errorf("%s is taken (is a suite running? stop it) and no network namespace can be had: %w", gatewayAddr, err))
		}
		os.Exit(status)
	}
	if netns.Inside() {
		if err := netns.LoopbackUp(); err != nil {
			exit(err)
		}
	}
	status, err := runAll(m)
	if err != nil {
		exit(err)
	}
	os.Exit(status)
}

func exit(err error) {
	fmt.Fprintln(os.Stderr, "scenario:", err)
	os.Exit(1)
}

func busy(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return true
	}
	_ = l.Close()
	return false
}

// inNamespace runs this test binary again in a network namespace of its own.
func inNamespace() (int, error) {
	dir, err := filepath.Abs("test/scenario")
	if err != nil {
		return 0, err
	}
	c, err := netns.Command(context.Background())
	if err != nil {
		return 0, err
	}
	c.Dir = dir
	return netns.Run(c)
}

func runAll(m *testing.M) (int, error) {
	if out, err := exec.Command("make", "build").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("make build: %w\n%s", err, out)
	}
	data, err := os.MkdirTemp("", "clinsource-scenario-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(data)
	theSuite, err = startSuite(data)
	if err != nil {
		return 0, err
	}
	status := m.Run()
	if status != 0 {
		theSuite.showErrors()
	}
	return status, theSuite.stop()
}

// useContainers makes theSuite a stack that runs already.
func useContainers(target string) error {
	if err := needRoot(); err != nil {
		return err
	}
	c, err := newContainers(target)
	theSuite = &suite{containers: c}
	return err
}

// suite is a running bin/suite, or the containers of a stack.
type suite struct {
	data       string
	cmd        *exec.Cmd
	containers *containers // nil: the launcher's.
}

// folder is the data folder of one process.
func (s *suite) folder(name string) string {
	if s.containers != nil {
		return s.containers.folder(name)
	}
	return filepath.Join(s.data, name)
}

// find gives the process ids of all that run bin/NAME, which is one in bin/suite.
func (s *suite) find(t testing.TB, name string) []int {
	t.Helper()
	if s.containers == nil {
		return []int{s.pid(t, name)}
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if pids := s.containers.find(name); len(pids) > 0 {
			return pids
		}
	}
	t.Fatalf("no container runs %s", name)
	return nil
}

// startSuite starts it and waits for its ready line.
func startSuite(data string, env ...string) (*suite, error) {
	s := &suite{data: data, cmd: exec.Command("bin/suite", "--data", data)}
	s.cmd.Env = append(os.Environ(), env...)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // Should this process be killed.
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if lines.Text() == "ready "+gatewayURL {
				ready <- true
			}
		}
		close(ready)
	}()
	select {
	case ok := <-ready:
		if ok {
			return s, nil
		}
		return nil, errors.New("the suite ended before it was ready")
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill()
		return nil, errors.New("the suite is not ready after 30 s")
	}
}

// stop ends the suite: within 15 s, with status 0.
func (s *suite) stop() error {
	begun := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.AfterFunc(20*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("the suite ended badly: %w", err)
	}
	if took := time.Since(begun); took > 15*time.Second {
		return fmt.Errorf("the suite took %v to end, more than 15 s", took)
	}
	return nil
}

// showErrors prints the errors in the logs, for whoever reads a failed run.
func (s *suite) showErrors() {
	logs, _ := filepath.Glob(filepath.Join(s.data, "logs", "*.log"))
	for _, path := range logs {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(data), "\n") {
			if strings.Contains(line, `"level":"error"`) || strings.Contains(line, "panic") {
				fmt.Fprintln(os.Stderr, filepath.Base(path), line)
			}
		}
	}
}

// pid gives the process of the suite that runs bin/NAME, waiting a moment for
// one that is being restarted; of replicas, the first.
func (s *suite) pid(t testing.TB, name string) int {
	t.Helper()
	if s.containers != nil {
		return s.find(t, name)[0]
	}
	want, err := filepath.Abs(filepath.Join("bin", name))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		paths, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, path := range paths {
			var pid int
			if exe, err := os.Readlink(path); err != nil || exe != want {
				continue
			}
			if _, err := fmt.Sscanf(path, "/proc/%d/exe", &pid); err == nil && s.childOf(pid) {
				return pid
			}
		}
	}
	t.Fatalf("no process of the suite runs %s", name)
	return 0
}

// childOf says whether the process was started by this suite.
func (s *suite) childOf(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	var state string
	var parent int
	if _, err := fmt.Sscan(rest, &state, &parent); err != nil {
		return false
	}
	return parent == s.cmd.Process.Pid && state != "Z"
}

func (s *suite) signal(t testing.TB, name string, sig syscall.Signal) {
	t.Helper()
	for _, pid := range s.find(t, name) {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatalf("%v to %s: %v", sig, name, err)
		}
	}
}

// logs gives all logs of the suite as one text.
func (s *suite) logs(t testing.TB) string {
	t.Helper()
	var all strings.Builder
	if s.containers != nil {
		for _, name := range processNames {
			all.WriteString(s.containers.log(t, name))
		}
		return all.String()
	}
	paths, _ := filepath.Glob(filepath.Join(s.data, "logs", "*.log"))
	if len(paths) < 6 {
		t.Fatalf("%d logs, six processes", len(paths))
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}

func deadline(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
