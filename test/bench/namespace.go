package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"syscall"
	"time"

	"clinsource/test/netns"
)

// enterNamespace runs this program again in a network namespace of its own, in
// which the suite's fixed ports are free; done means that it has. Where the
// system allows no namespace, the ports of the machine must do.
func enterNamespace(ctx context.Context, out io.Writer) (done bool, err error) {
	if netns.Inside() {
		return false, netns.LoopbackUp()
	}
	c, err := netns.Command(ctx)
	if err != nil {
		return false, err
	}
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 20 * time.Second
	c.Stdout = out
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
