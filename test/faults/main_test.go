// Package faults breaks the running suite and holds it to what it promises: what
// was acknowledged is there once, what a living replica can serve is served, and
// all is as before soon after the cure. The tests start bin/suite themselves, in
// a network namespace of their own, on configs that differ from the shipped ones
// only in the addresses at which processes find each other: those of toxiproxy,
// which stands between any two. FAULTS=short leaves out what takes minutes.
//
// What was measured is in docs/faults.md.
package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// root is the repository.
var root string

// short says whether the form for every commit is run.
var short = os.Getenv("FAULTS") == "short"

func TestMain(m *testing.M) {
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		status = 1
	}
	os.Exit(status)
}

func run(m *testing.M) (status int, err error) {
	if root, err = filepath.Abs("../.."); err != nil {
		return 0, err
	}
	if os.Getenv("CLINSOURCE_NETNS") == "" {
		build := exec.Command("make", "build")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("make build: %w\n%s", err, out)
		}
		return inNamespace()
	}
	if err := loopbackUp(); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// inNamespace runs this test binary again in namespaces of its own: of the
// network, for the fixed ports; of mounts, for disks that fill up.
func inNamespace() (int, error) {
	c := exec.Command(os.Args[0], os.Args[1:]...)
	c.Env = append(os.Environ(), "CLINSOURCE_NETNS=1")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err := c.Run()
	var exited *exec.ExitError
	if errors.As(err, &exited) {
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
