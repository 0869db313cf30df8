package faults

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// suite is a running bin/suite with proxies between its processes.
type suite struct {
	dir, data string
	bin       string // Folder of the binaries.
	cmd       *exec.Cmd
	links     map[string]*link
}

// services and their ports. A proxy listens 10000 above.
var services = map[string]int{"vitals-rpc": 9101, "dicom-rpc": 9102, "epro-rpc": 9103, "subject-rpc": 9104}

const (
	proxied  = 10000
	etcdPort = 2379
)

// replicated is what has two processes in most tests.
const replicated = "vitals-rpc=2,dicom-rpc=2,epro-rpc=2,subject-rpc=2,project-api=2"

// startSuite runs the suite with the replicas given and, between all processes,
// proxies that pass everything on for now.
func startSuite(t *testing.T, replicas string) *suite {
	t.Helper()
	s := prepare(t, replicas)
	s.start(t, replicas)
	return s
}

// prepare writes the configs and starts the proxies.
func prepare(t *testing.T, replicas string, change ...func(name, config string) string) *suite {
	t.Helper()
	s := &suite{dir: t.TempDir(), bin: filepath.Join(root, "bin"), links: map[string]*link{}}
	s.data = filepath.Join(s.dir, "var")
	if err := os.CopyFS(filepath.Join(s.dir, "etc"), os.DirFS(filepath.Join(root, "etc"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"project-api", "vitals-rpc", "dicom-rpc", "epro-rpc", "subject-rpc"} {
		text, err := os.ReadFile(filepath.Join(root, "etc", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.ReplaceAll(string(text), fmt.Sprintf("127.0.0.1:%d", etcdPort), fmt.Sprintf("127.0.0.1:%d", etcdPort+proxied))
		if port := services[name]; port != 0 {
			changed += fmt.Sprintf("\nAdvertise: 127.0.0.1:%d\n", port+proxied)
			s.links[name] = newLink(t, name, port)
			if strings.Contains(replicas, name+"=2") {
				s.links[name+"-2"] = newLink(t, name+"-2", port+10)
			}
		}
		for _, c := range change {
			changed = c(name, changed)
		}
		if err := os.WriteFile(filepath.Join(s.dir, "etc", name+".yaml"), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.links["etcd"] = newLink(t, "etcd", etcdPort)
	return s
}

// copyBinaries gives the suite binaries of its own, which a test may exchange.
func (s *suite) copyBinaries(t *testing.T) {
	t.Helper()
	own := filepath.Join(s.dir, "bin")
	if err := os.MkdirAll(own, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"suite", "etcd", "project-api", "vitals-rpc", "dicom-rpc", "epro-rpc", "subject-rpc"} {
		data, err := os.ReadFile(filepath.Join(s.bin, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(own, name), data, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.bin = own
}

// buildOtherwise makes other binaries of the same sources: without a symbol table.
func buildOtherwise(t *testing.T, dir string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", dir+"/", "./project-api", "./vitals-rpc", "./dicom-rpc", "./epro-rpc", "./subject-rpc")
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

func (s *suite) start(t *testing.T, replicas string) {
	t.Helper()
	s.await(t, s.launch(t, replicas))
}

// launch runs it and gives where its ready line, or its end, is told.
func (s *suite) launch(t *testing.T, replicas string) <-chan error {
	t.Helper()
	s.cmd = exec.Command(filepath.Join(s.bin, "suite"), "--data", s.data, "--replicas", replicas)
	s.cmd.Dir = s.dir
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(t) })
	ready := make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "ready ") {
				ready <- nil
			}
		}
		select {
		case ready <- errors.New("it ended"):
		default:
		}
	}()
	return ready
}

func (s *suite) await(t *testing.T, ready <-chan error) {
	t.Helper()
	select {
	case err := <-ready:
		if err != nil {
			s.showErrors()
			t.Fatalf("the suite does not start: %v", err)
		}
	case <-time.After(60 * time.Second):
		s.showErrors()
		t.Fatal("the suite is not ready after 60 s")
	}
}

// stop ends it, within its bound and with status 0.
func (s *suite) stop(t *testing.T) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	if t.Failed() {
		s.showErrors()
	}
	begun := time.Now()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(25*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer kill.Stop()
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the suite ended badly after %v: %v", time.Since(begun), err)
	}
	s.cmd = nil
}

// showErrors prints the errors in the logs, each once.
func (s *suite) showErrors() {
	logs, _ := filepath.Glob(filepath.Join(s.data, "logs", "*.log"))
	for _, path := range logs {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		lines := bytes.Split(data, []byte("\n"))
		for _, line := range lines[max(0, len(lines)-4000):] {
			if bytes.Contains(line, []byte(`"code":"Internal"`)) || bytes.Contains(line, []byte("panic")) || !bytes.HasPrefix(line, []byte("{")) && len(line) > 0 {
				fmt.Fprintln(os.Stderr, filepath.Base(path), string(line[:min(len(line), 400)]))
			}
		}
	}
}

// pid gives the process of a replica (vitals-rpc, vitals-rpc-2, etcd), waiting
// for one that is being restarted.
func (s *suite) pid(t testing.TB, name string) int {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if pid := s.find(name); pid != 0 {
			return pid
		}
	}
	t.Fatalf("no process runs %s", name)
	return 0
}

func (s *suite) find(name string) int {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		line, err := os.ReadFile(path)
		args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		var pid int
		if _, scanErr := fmt.Sscanf(path, "/proc/%d/cmdline", &pid); err != nil || scanErr != nil || !s.childOf(pid) {
			continue
		}
		if filepath.Base(args[0]) == name && name == "etcd" || filepath.Base(args[len(args)-1]) == name+".yaml" {
			return pid
		}
	}
	return 0
}

func (s *suite) childOf(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	var state string
	var parent int
	_, err = fmt.Sscan(rest, &state, &parent)
	return err == nil && parent == s.cmd.Process.Pid && state != "Z"
}

func (s *suite) signal(t testing.TB, name string, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(s.pid(t, name), sig); err != nil {
		t.Fatalf("%v to %s: %v", sig, name, err)
	}
}

// metric reads one metric of a process; 0 if it is not there.
func metric(t testing.TB, port int, name string) float64 {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var value float64
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &value); err == nil {
				return value
			}
		}
	}
	return 0
}

// listens says whether a process serves its metrics.
func listens(port int) bool {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil
}

// resident is a process's memory in bytes.
func (s *suite) resident(t testing.TB, name string) float64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.pid(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	var size, pages float64
	if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * float64(os.Getpagesize())
}

// sockets counts the open descriptors of a process that are sockets.
func (s *suite) sockets(t testing.TB, name string) (n float64) {
	t.Helper()
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.pid(t, name)))
	for _, path := range paths {
		if to, err := os.Readlink(path); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}
