package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The suite's fixed points.
const (
	gatewayAddr = "127.0.0.1:8443"
	gatewayURL  = "https://" + gatewayAddr
	vitalsAddr  = "127.0.0.1:9101"
	dicomAddr   = "127.0.0.1:9102"
	eproAddr    = "127.0.0.1:9103"
	subjectAddr = "127.0.0.1:9104"
	certs       = "certs/dev"
)

// suite is a running bin/suite.
type suite struct {
	data string
	cmd  *exec.Cmd
	pids map[string]int // Of the measured processes, by name; the bench itself is among them.
}

// startSuite starts it, changed if wanted, and waits for its ready line.
func startSuite(ctx context.Context, bin, data string, change ...func(*exec.Cmd)) (*suite, error) {
	s := &suite{data: data, cmd: exec.Command(filepath.Join(bin, "suite"), "--data", data)}
	for _, c := range change {
		c(s.cmd)
	}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us; stop ends it.
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan bool, 1)
	go func() {
		defer close(ready)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if lines.Text() == "ready "+gatewayURL {
				ready <- true
			}
		}
	}()
	select {
	case ok := <-ready:
		if ok {
			s.pids, err = children(s.cmd.Process.Pid)
		} else {
			err = errors.New("the suite ended before it was ready")
		}
	case <-time.After(30 * time.Second):
		err = fmt.Errorf("the suite is not ready after 30 s; see %s/logs (with -data elsewhere they stay)", data)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.pids["bench"] = os.Getpid()
	return s, nil
}

func (s *suite) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.AfterFunc(20*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("the suite ended badly: %w", err)
	}
	return nil
}

// children gives the processes that a process started, by the name of their
// binary.
func children(parent int) (map[string]int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	pids := map[string]int{}
	for _, path := range paths {
		stat, err := readStat(path)
		if err == nil && stat.parent == parent {
			pids[stat.name] = stat.pid
		}
	}
	if len(pids) < 6 {
		return nil, fmt.Errorf("the suite runs %d processes, want etcd and five of ours", len(pids))
	}
	return pids, nil
}

// checkRoom refuses a disk that the run would fill.
func checkRoom(folder string, image int64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(folder, &fs); err != nil {
		return err
	}
	free := int64(fs.Bavail) * fs.Bsize
	if need := 3*image + 1<<30; free < need {
		return fmt.Errorf("%s has %d MB free, the bench needs %d; give another disk by -data, or a smaller -image", folder, free>>20, need>>20)
	}
	return nil
}

// demo fills the project demo, as a newcomer would.
func demo(ctx context.Context, bin string) error {
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "clinctl"), "demo").CombinedOutput()
	if err != nil {
		return fmt.Errorf("clinctl demo: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
