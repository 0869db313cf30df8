package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// Flags reads the command line that all processes share: -f FILE, required,
// and -t, which asks to check the configuration and exit. args are without
// the program's name. -h gives flag.ErrHelp.
func Flags(args []string) (path string, checkOnly bool, err error) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the caller prints the error, once
	flags.StringVar(&path, "f", "", "the configuration file, such as etc/vitals-rpc.yaml")
	flags.BoolVar(&checkOnly, "t", false, "check the configuration and exit")
	const usage = "usage: -f etc/NAME.yaml [-t]"
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
