package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"
)

// finding is one line of what the doctor says.
type finding struct {
	Level string `json:"level"` // ok, warn, fail.
	About string `json:"about"`
	Says  string `json:"says"`
	Do    string `json:"do,omitempty"` // The way out.
}

// doctor looks at an installation from the machine that it runs on.
type doctor struct {
	*operator
	etc, bin string
	deep     time.Duration // What a database's check may take.
	now      time.Time
	findings []finding
}

func (d *doctor) ok(about, says string, args ...any) {
	d.findings = append(d.findings, finding{"ok", about, fmt.Sprintf(says, args...), ""})
}

func (d *doctor) warn(about, do, says string, args ...any) {
	d.findings = append(d.findings, finding{"warn", about, fmt.Sprintf(says, args...), do})
}

func (d *doctor) fail(about, do, says string, args ...any) {
	d.findings = append(d.findings, finding{"fail", about, fmt.Sprintf(says, args...), do})
}

// runDoctor checks what can be checked without changing anything. Warnings leave
// the exit status 0.
func runDoctor(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	d := &doctor{operator: operatorFlags(flags), now: time.Now()}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	flags.StringVar(&d.etc, "etc", "etc", "folder of the configs")
	flags.StringVar(&d.bin, "bin", filepath.Dir(self), "folder of the processes' binaries, which check their configs")
	data := flags.String("data", cmp.Or(os.Getenv("CLINSOURCE_DATA"), "var"), "folder of the data (CLINSOURCE_DATA of the configs)")
	flags.DurationVar(&d.deep, "within", time.Minute, "how long the check of one database may take")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	d.complete()
	if err := os.Setenv("CLINSOURCE_DATA", *data); err != nil {
		return err
	}
	d.examine(ctx)
	if *asJSON {
		err = printJSON(os.Stdout, d.findings)
	} else {
		err = d.print(os.Stdout)
	}
	if err == nil && d.failed() {
		err = errNotWell
	}
	return err
}

func (d *doctor) examine(ctx context.Context) {
	configs := d.configs(ctx)
	d.certificates(configs)
	d.storage(ctx, configs)
	d.etcdHealth(ctx)
	d.clocks(ctx)
}

func (d *doctor) failed() bool {
	for _, f := range d.findings {
		if f.Level == "fail" {
			return true
		}
	}
	return false
}

func (d *doctor) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, f := range d.findings {
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Level, f.About, f.Says)
		if f.Do != "" {
			fmt.Fprintf(t, "\t\t-> %s\n", f.Do)
		}
	}
	return t.Flush()
}
