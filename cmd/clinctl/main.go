// clinctl is the command line of clinsource: it makes development tokens, sends
// images, fills a demonstration project, tells an operator how an installation is
// (status, doctor: these ask every process, with a certificate that may), and backs
// up and restores. What an app does too (upload, demo) goes through the gateway, as
// any app would; URL, CA and token come from flags or the
// environment (CLINSOURCE_URL, CLINSOURCE_CA, CLINSOURCE_TOKEN), with defaults
// for the development suite.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// command is one subcommand; it gets the arguments after its name.
type command struct {
	name, help string
	run        func(ctx context.Context, args []string) error
}

func commands() []command {
	return []command{
		{"token", "print a token of the development issuer", runToken},
		{"upload", "send DICOM files and folders, with progress; goes on after any break", runUpload},
		{"status", "show who is registered, and how they are", runStatus},
		{"doctor", "check certificates, clocks, disks, databases and configs", runDoctor},
		{"demo", "fill the project demo", runDemo},
		{"certs", "make the development certificates that are missing", runCerts},
		{"audit", "export, verify and show the audit log", runAudit},
		{"backup", "copy all data into one encrypted file, while the suite runs", runBackup},
		{"restore", "make the data of a backup again, in a new folder", runRestore},
		{"migrate", "bring a PostgreSQL database up to date, for all services", runMigrate},
		{"move", "copy all rows from SQLite files to PostgreSQL, compared", runMove},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "clinctl:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		i := slices.IndexFunc(commands(), func(c command) bool { return c.name == args[0] })
		if i >= 0 {
			return commands()[i].run(ctx, args[1:])
		}
	}
	fmt.Fprintln(os.Stderr, "usage: clinctl COMMAND [flags]")
	for _, c := range commands() {
		fmt.Fprintf(os.Stderr, "  %-8s %s\n", c.name, c.help)
	}
	if len(args) > 0 {
		return fmt.Errorf("there is no command %q", args[0])
	}
	return flag.ErrHelp
}
