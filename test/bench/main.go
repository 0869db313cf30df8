// bench measures what the suite costs over the least that the same work could
// cost, and prints the ratios that the project holds itself to:
//
//   - a durable UploadVitals over zRPC, and through the HTTPS gateway, against
//     the bare commit queue doing the same write in process (throughput);
//   - a 500 MB image into dicom-rpc against a bare grpc-go sink that writes a
//     file, hashes and syncs it (throughput);
//   - a healthy project view against its slowest section (latency);
//   - a write and a list of vitals-rpc against the same sources without audit
//     and policy (throughput).
//
// Absolute figures of a shared machine mean little, ratios within one run much
// more: so the contenders of a ratio run in turns, in rounds of a few seconds,
// every other round backwards, and the median of the rounds counts. The first
// round warms up and is not counted. The load generator runs on the same
// machine and takes its share of the cores; the table of CPU time says how much.
//
// It runs bin/suite on data of its own, in a network namespace of its own where
// it may (so that a suite already running is in nobody's way), and removes the
// data at the end. docs/benchmarks.md explains the figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// settings are the bench's own.
type settings struct {
	data    string // Folder under which the run's data are made; the disk that is measured.
	bin     string // Folder of the suite's binaries.
	rounds  int    // Counted rounds.
	lap     time.Duration
	callers int
	image   int64  // Bytes of the image.
	only    string // The one part to measure; empty: all.

	patience time.Duration // For the machine's other users, in all.
}

// measureWithin bounds a run without its waiting for the machine's other users.
const measureWithin = 9 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == sinkCommand {
		return runSink(ctx, args[1:], out)
	}
	if len(args) > 0 && args[0] == scaleCommand {
		return runScale(ctx, args[1:], out)
	}
	s, err := parse(args)
	if err != nil {
		return err
	}
	if inside, err := enterNamespace(ctx, out); inside || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, measureWithin+s.patience)
	defer cancel()
	return measure(ctx, s, out)
}

func parse(args []string) (settings, error) {
	var s settings
	var megabytes int64
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&s.data, "data", "var", "folder for the run's data, on the disk that is to be measured")
	flags.StringVar(&s.bin, "bin", "bin", "folder of the suite's binaries, which make build makes")
	flags.IntVar(&s.rounds, "rounds", 5, "rounds that count; one more warms up")
	flags.DurationVar(&s.lap, "lap", 2500*time.Millisecond, "how long each contender runs in a round")
	flags.IntVar(&s.callers, "callers", 64, "callers at once")
	flags.StringVar(&s.only, "only", "", "measure one part: uploads, image, view or audit")
	flags.DurationVar(&s.patience, "patience", time.Minute, "how long to wait in all for the machine's other users to be quiet")
	flags.Int64Var(&megabytes, "image", 500, "size of the image, in 10^6 bytes")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.image = megabytes * 1_000_000
	if flags.NArg() > 0 || s.rounds < 1 || s.lap <= 0 || s.callers < 1 || megabytes < 2 {
		return s, errors.New("-rounds, -lap and -callers must be positive, -image at least 2, and nothing else given")
	}
	if s.only != "" && !slices.ContainsFunc(parts, func(p part) bool { return p.name == s.only }) {
		return s, fmt.Errorf("-only %s: the parts are uploads, image, view and audit", s.only)
	}
	if _, err := os.Stat("etc/project-api.yaml"); err != nil {
		return s, errors.New("start it in the repository's root: etc/project-api.yaml is not here")
	}
	if _, err := os.Stat(filepath.Join(s.bin, "suite")); err != nil {
		return s, fmt.Errorf("the suite is not built, run make build: %w", err)
	}
	return s, nil
}
