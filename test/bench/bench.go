package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// measure runs everything on a suite of its own and prints the report.
func measure(ctx context.Context, s settings, out io.Writer) (err error) {
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return err
	}
	folder, err := os.MkdirTemp(s.data, "bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if folder, err = filepath.Abs(folder); err != nil {
		return err
	}
	if err := checkRoom(folder, s.image); err != nil {
		return err
	}
	suite, err := startSuite(ctx, s.bin, filepath.Join(folder, "suite"))
	if err != nil {
		return err
	}
	b := &bench{settings: s, suite: suite, folder: folder}
	groups, err := b.run(ctx)
	if stopped := suite.stop(); err == nil {
		err = stopped
	}
	if err == nil && (s.only == "" || s.only == "uploads") {
		err = checkSameWrite(ctx, filepath.Join(folder, engineFile), filepath.Join(suite.data, "vitals-rpc", "vitals.db"))
	}
	if err != nil {
		return err
	}
	return writeReport(out, s, groups)
}

// bench is a run under way.
type bench struct {
	settings
	suite  *suite
	world  *world
	folder string // For what is not the suite's.
}

// parts are what is measured, in order.
var parts = []part{{"uploads", vitalsGroup}, {"image", imageGroup}, {"view", viewGroup}, {"audit", auditGroup}}

type part struct {
	name    string
	prepare func(ctx context.Context, b *bench, g *group) error
}

// run lets the contenders of each ratio run against each other.
func (b *bench) run(ctx context.Context) (groups []*group, err error) {
	if b.world, err = newWorld(ctx); err != nil {
		return nil, err
	}
	patience := &patience{left: b.patience}
	for _, part := range parts {
		if b.only != "" && b.only != part.name {
			continue
		}
		g := &group{patience: patience}
		err := part.prepare(ctx, b, g)
		if err == nil {
			err = g.run(ctx, b.rounds, b.suite.pids)
		}
		g.close()
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// contender adds one whose callers repeat an operation for the time of a lap.
func (b *bench) contender(g *group, name string, callers int, do operation) *contender {
	c := &contender{name: name, callers: callers, turn: func(ctx context.Context) (lap, error) {
		return closedLoop(ctx, callers, b.lap, do)
	}}
	g.contenders = append(g.contenders, c)
	return c
}
