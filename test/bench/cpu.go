package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU time in /proc, on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// stat is what /proc/PID/stat tells of a process.
type stat struct {
	pid, parent int
	name        string
	cpu         time.Duration // User and system time so far.
}

func readStat(path string) (stat, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return stat{}, err
	}
	return parseStat(string(text))
}

// parseStat reads a line like "17 (etcd) S 9 ...". The name may hold anything,
// so that the last parenthesis ends it.
func parseStat(line string) (stat, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return stat{}, errors.New("no name in parentheses in /proc/PID/stat")
	}
	fields := strings.Fields(line[end+1:])
	if len(fields) < 13 {
		return stat{}, fmt.Errorf("%d fields after the name in /proc/PID/stat, want 13 or more", len(fields))
	}
	s := stat{name: line[open+1 : end]}
	var user, system int64
	for _, f := range []struct {
		into func(int64)
		text string
	}{
		{func(n int64) { s.pid = int(n) }, strings.TrimSpace(line[:open])},
		{func(n int64) { s.parent = int(n) }, fields[1]},
		{func(n int64) { user = n }, fields[11]},
		{func(n int64) { system = n }, fields[12]},
	} {
		n, err := strconv.ParseInt(f.text, 10, 64)
		if err != nil {
			return stat{}, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		f.into(n)
	}
	s.cpu = time.Duration(user+system) * tick
	return s, nil
}

// idle is the CPU time that the whole machine has left unused so far, waiting
// for disks included: what is not used by ours and not idle went to neighbours.
func idle() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 6 || fields[0] != "cpu" {
		return 0, errors.New("/proc/stat does not begin with the line of all CPUs")
	}
	var ticks int64
	for _, text := range fields[4:6] {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// idleKey is the machine's idle time in what cpuTimes gives.
const idleKey = "idle"

// cpuTimes gives the CPU time of each process so far, and the machine's idle time.
func cpuTimes(pids map[string]int) (map[string]time.Duration, error) {
	times := map[string]time.Duration{}
	for name, pid := range pids {
		s, err := readStat(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return nil, fmt.Errorf("%s is gone: %w", name, err)
		}
		times[name] = s.cpu
	}
	unused, err := idle()
	times[idleKey] = unused
	return times, err
}
