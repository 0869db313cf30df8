package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const insideNamespace = "CLINSOURCE_BENCH_NETNS"

// enterNamespace runs this program again in a network namespace of its own, in
// which the suite's fixed ports are free; done means that it has. Where the
// system allows no namespace, the ports of the machine must do.
func enterNamespace(ctx context.Context, out io.Writer) (done bool, err error) {
	if os.Getenv(insideNamespace) != "" {
		return false, loopbackUp()
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	c := exec.CommandContext(ctx, self, os.Args[1:]...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 20 * time.Second
	c.Env = append(os.Environ(), insideNamespace+"=1")
	c.Stdout, c.Stderr = out, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := c.Start(); err != nil {
		return false, portsFree(err)
	}
	err = c.Wait()
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return true, errors.New("no figures, for the reason above")
	}
	return true, err
}

// portsFree says why the bench cannot run, if another suite has the ports.
func portsFree(noNamespace error) error {
	l, err := net.Listen("tcp", gatewayAddr)
	if err != nil {
		return fmt.Errorf("%s is taken (is a suite running? stop it) and no network namespace can be had: %w", gatewayAddr, noNamespace)
	}
	return l.Close()
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
