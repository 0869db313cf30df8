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
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"clinsource/test/netns"
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
	if !netns.Inside() {
		build := exec.Command("make", "build")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("make build: %w\n%s", err, out)
		}
		return inNamespace()
	}
	if err := netns.LoopbackUp(); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// inNamespace runs this test binary again in namespaces of its own: of the
// network, for the fixed ports; of mounts, for disks that fill up.
func inNamespace() (int, error) {
	c, err := netns.Command(context.Background())
	if err != nil {
		return 0, err
	}
	c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNS
	return netns.Run(c)
}
