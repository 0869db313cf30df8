package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
)

// healthFlag asks a process how the one that runs by the same file is doing.
const healthFlag = "health"

// Flags reads the command line that all processes share: -f FILE, required,
// -t, which asks to check the configuration and exit, and -health (see
// HealthAsked). args are without the program's name. -h gives flag.ErrHelp.
func Flags(args []string) (path string, checkOnly bool, err error) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the caller prints the error, once
	flags.StringVar(&path, "f", "", "the configuration file, such as etc/vitals-rpc.yaml")
	flags.BoolVar(&checkOnly, "t", false, "check the configuration and exit")
	flags.Bool(healthFlag, false, "ask the process that runs by this configuration for its health and exit")
	const usage = "usage: -f etc/NAME.yaml [-t | -health]"
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return "", false, err
	case err != nil:
		return "", false, fmt.Errorf("%w; %s", err, usage)
	case flags.NArg() > 0:
		return "", false, fmt.Errorf("unexpected argument %q; %s", flags.Arg(0), usage)
	case path == "":
		return "", false, fmt.Errorf("no configuration file is named; %s", usage)
	}
	return path, checkOnly, nil
}

// HealthAsked says whether args, which Flags has accepted, ask for the health
// of a process that runs already: the health check of a container that holds
// nothing but the process's own binary.
func HealthAsked(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool { return a == "-"+healthFlag || a == "--"+healthFlag })
}
