package main

// How list and view behave as the vitals grow, in rows: "bench scale". It runs
// the suite on one set of data per size, all filled before anything is
// measured, and lets the sizes take turns as the contenders of the other parts do.

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"clinsource/internal/auth"
	"clinsource/internal/sqldb/pgtest"
)

const scaleCommand = "scale"

const (
	scaleProject  = "scale"
	scaleSubjects = 500
	scaleWithin   = 90 * time.Minute
)

// scaleSettings are those of "bench scale".
type scaleSettings struct {
	settings
	sizes    []int64 // Rows of vitals.
	keep     bool    // The data, for the next run.
	postgres bool
	replicas int // Of vitals-rpc.
}

func parseScale(args []string) (scaleSettings, error) {
	var s scaleSettings
	var sizes string
	flags := flag.NewFlagSet("bench scale", flag.ContinueOnError)
	flags.StringVar(&s.data, "data", "var", "folder for the run's data")
	flags.StringVar(&s.bin, "bin", "bin", "folder of the suite's binaries, which make build makes")
	flags.StringVar(&sizes, "rows", "100000,10000000", "sizes to compare, in rows of vitals")
	flags.BoolVar(&s.postgres, "postgres", false, "keep the rows in a PostgreSQL of the run's own, from the machine's packages")
	flags.IntVar(&s.replicas, "replicas", 1, "replicas of vitals-rpc")
	flags.BoolVar(&s.keep, "keep", false, "leave the data for the next run, which need not fill them again")
	flags.IntVar(&s.rounds, "rounds", 5, "rounds that count; one more warms up; 0 only makes the data")
	flags.DurationVar(&s.lap, "lap", 4*time.Second, "how long each question is repeated in a round")
	flags.IntVar(&s.callers, "callers", 8, "callers at once")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	for _, text := range strings.Split(sizes, ",") {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < scaleSubjects {
			return s, fmt.Errorf("-rows %q: want whole numbers of at least %d", sizes, scaleSubjects)
		}
		s.sizes = append(s.sizes, n)
	}
	if flags.NArg() > 0 || s.rounds < 0 || s.lap <= 0 || s.callers < 1 || s.replicas < 1 {
		return s, errors.New("-lap, -callers and -replicas must be positive, -rounds not negative, and nothing else given")
	}
	if s.postgres && s.keep {
		return s, errors.New("-keep is for SQLite: the run's own PostgreSQL ends with it")
	}
	return s, nil
}

func runScale(ctx context.Context, args []string, out io.Writer) (err error) {
	s, err := parseScale(args)
	if err != nil {
		return err
	}
	if inside, err := enterNamespace(ctx, out); inside || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, scaleWithin)
	defer cancel()
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return err
	}
	if s.data, err = filepath.Abs(s.data); err != nil {
		return err
	}
	var server *pgtest.Server
	if s.postgres {
		if server, err = pgtest.Run(); err != nil {
			return err
		}
		defer server.Close()
	}
	worlds := make([]*scaleWorld, len(s.sizes))
	for i, rows := range s.sizes {
		worlds[i] = &scaleWorld{settings: s.settings, rows: rows, replicas: s.replicas, data: filepath.Join(s.data, fmt.Sprintf("scale-%d", rows)), laps: map[string][]lap{}}
		if server != nil {
			if err := worlds[i].useDatabase(server, fmt.Sprintf("scale_%d", rows)); err != nil {
				return err
			}
		}
		if err := worlds[i].fill(ctx, out); err != nil {
			return fmt.Errorf("fill %d rows: %w", rows, err)
		}
		if !s.keep {
			defer func() { err = errors.Join(err, os.RemoveAll(worlds[i].data)) }()
		}
	}
	for round := range s.rounds + 1 {
		for i := range worlds {
			w := worlds[(i+round)%len(worlds)]
			if err := w.measure(ctx, round > 0); err != nil {
				return fmt.Errorf("%d rows, round %d: %w", w.rows, round, err)
			}
		}
	}
	if s.rounds == 0 { // Only the data were wanted.
		return nil
	}
	return reportScale(out, worlds)
}

// scaleWorld is the suite's data at one size.
type scaleWorld struct {
	settings
	rows     int64
	data     string
	replicas int              // Of vitals-rpc.
	store    string           // The PostgreSQL database, if the rows are there.
	laps     map[string][]lap // By question; the counted ones.
}

// launch says how the suite is to run.
func (w *scaleWorld) launch(c *exec.Cmd) {
	c.Args = append(c.Args, "--replicas", fmt.Sprintf("vitals-rpc=%d", w.replicas))
	c.Env = append(os.Environ(), "CLINSOURCE_STORE="+w.store)
}

// useDatabase makes an empty database and lets the suite keep its rows there.
func (w *scaleWorld) useDatabase(server *pgtest.Server, name string) error {
	w.store = server.URL(pgtest.Owner, name)
	w.data += "-postgres"
	return errors.Join(os.RemoveAll(w.data), server.Try("postgres", "CREATE DATABASE "+name+" OWNER "+pgtest.Owner+" TEMPLATE template0"))
}

// questions are what is asked, in this order.
var questions = []struct {
	name string
	path func() string
}{
	{"list of 50 of a subject", func() string {
		return fmt.Sprintf("/v1/projects/%s/subjects/%s/vitals?page_size=50", scaleProject, scalePatient(rand.IntN(scaleSubjects)))
	}},
	{"view of a subject", func() string {
		return fmt.Sprintf("/v1/projects/%s/subjects/%s", scaleProject, scalePatient(rand.IntN(scaleSubjects)))
	}},
	{"view of the project", func() string { return "/v1/projects/" + scaleProject }},
}

func scalePatient(i int) string { return fmt.Sprintf("scale-%05d", i) }

// measure starts the suite on the data, asks each question for a lap, and stops
// it again: only one size may hold the memory at a time.
func (w *scaleWorld) measure(ctx context.Context, counts bool) (err error) {
	suite, err := startSuite(ctx, w.bin, w.data, w.launch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, suite.stop()) }()
	monitor, err := token(auth.Grant{Role: auth.Monitor, Project: scaleProject})
	if err != nil {
		return err
	}
	web, err := newWeb(w.callers, false)
	if err != nil {
		return err
	}
	defer web.CloseIdleConnections()
	for _, q := range questions {
		ask := func(ctx context.Context, _ int) (time.Duration, error) {
			_, err := send(ctx, web, http.MethodGet, q.path(), monitor, nil)
			return 0, err
		}
		if _, err := closedLoop(ctx, w.callers, time.Second, ask); err != nil { // Caches are cold after the start.
			return fmt.Errorf("%s: %w", q.name, err)
		}
		l, err := closedLoop(ctx, w.callers, w.lap, ask)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		if counts {
			w.laps[q.name] = append(w.laps[q.name], l)
		}
	}
	return nil
}

func reportScale(out io.Writer, worlds []*scaleWorld) error {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%-26s %12s %10s %10s %10s  %s\n", "", "rows", "ops/s", "p50", "p99", "p99 / the smallest's")
	for _, q := range questions {
		for _, w := range worlds {
			laps := w.laps[q.name]
			p99 := func(l lap) time.Duration { return percentile(l.times, 0.99) }
			ratio := float64(over(laps, p99)) / float64(over(worlds[0].laps[q.name], p99))
			fmt.Fprintf(&text, "%-26s %12d %10.0f %10s %10s  %.2f\n", q.name, w.rows, over(laps, lap.rate),
				over(laps, func(l lap) time.Duration { return percentile(l.times, 0.5) }).Round(10*time.Microsecond),
				over(laps, p99).Round(10*time.Microsecond), ratio)
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}
