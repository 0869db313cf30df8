package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"clinsource/internal/devcert"
)

// rotations are what clinctl certs rotate and retire take.
var rotations = map[string]devcert.Rotation{"leaves": devcert.Leaves, "ca": devcert.CA, "token-key": devcert.TokenKey}

// runCerts makes what the suite's launcher would make at its start, for those
// who start containers instead; and rotates it under a running suite.
func runCerts(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("certs", flag.ContinueOnError)
	dir := flags.String("dir", "certs/dev", "folder of the development certificates")
	wait := flags.Duration("wait", 10*time.Second, "rotate: from the announcement of what is new until it is used; every process reads it, and etcd restarts, in that time")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: clinctl certs [flags] [rotate leaves|ca|token-key, retire ca|token-key]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch flags.NArg() {
	case 0:
		created, err := devcert.Ensure(*dir, time.Now())
		if err == nil && created {
			fmt.Println("made development certificates in " + *dir)
		}
		return err
	case 2:
		what, known := rotations[flags.Arg(1)]
		switch {
		case known && flags.Arg(0) == "rotate":
			return rotateCerts(ctx, *dir, *wait, flags.Arg(1), what)
		case known && flags.Arg(0) == "retire" && what.Retire != nil:
			return what.Retire(*dir, time.Now())
		}
	}
	flags.Usage()
	return errors.New("certs: nothing, rotate leaves|ca|token-key, or retire ca|token-key")
}

func rotateCerts(ctx context.Context, dir string, wait time.Duration, name string, what devcert.Rotation) error {
	if what.Announce != nil {
		if err := what.Announce(dir, time.Now()); err != nil {
			return err
		}
		fmt.Printf("the next %s is announced beside the old; waiting %v until all trust it\n", name, wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	if err := what.Adopt(dir, time.Now()); err != nil {
		return err
	}
	fmt.Printf("the new %s is in use\n", name)
	if what.Retire != nil {
		fmt.Printf("the old one is trusted until: clinctl certs retire %s\n", name)
	}
	return nil
}
