package main

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	got, err := parseStat("42 (a ) (b) S 7 42 42 0 -1 4194304 10 0 0 0 250 50 0 0 20 0 9 0 100 0 0\n")
	want := stat{pid: 42, parent: 7, name: "a ) (b", cpu: 3 * time.Second}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, line := range []string{"", "42 etcd S 7", "42 (etcd) S 7 42", "42 (etcd) S x 42 42 0 -1 0 0 0 0 0 1 1 0 0"} {
		if _, err := parseStat(line); err == nil {
			t.Errorf("%q is no /proc/PID/stat, and was read", line)
		}
	}
}

func TestCPUTimesGrowWithWork(t *testing.T) {
	pids := map[string]int{"bench": os.Getpid()}
	start, err := cpuTimes(pids)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; {
		now, err := cpuTimes(pids) // Itself the work.
		if err != nil {
			t.Fatal(err)
		}
		if now["bench"]-start["bench"] >= 5*tick && now[idleKey] >= start[idleKey] {
			return
		}
		if time.Now().After(end) {
			t.Fatal("10 s of work and no CPU time")
		}
	}
}

func TestAProcessThatIsGoneIsNamed(t *testing.T) {
	if _, err := cpuTimes(map[string]int{"vitals-rpc": 1 << 30}); err == nil {
		t.Error("a process that is not there has CPU times")
	}
}
