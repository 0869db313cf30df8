package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// trial is one fault under load, and its cure.
type trial struct {
	name  string
	brk   func(t *testing.T, s *suite)
	cure  func(t *testing.T, s *suite)
	lasts time.Duration
	full  bool // Only in the full form.
}

func none(*testing.T, *suite) {}

// trials are all that a suite with two replicas of everything must
// take without a failed request. A service that hangs is one whose connections
// pass nothing on: on SQLite, whose one file two processes share here, a process
// that is stopped in the middle of a write keeps the other from writing.
func trials() (all []trial) {
	for _, name := range []string{"vitals-rpc", "epro-rpc-2", "subject-rpc", "project-api-2"} {
		all = append(all, trial{name: "kill -9 " + name, brk: send(name, syscall.SIGKILL), cure: none, lasts: 3 * time.Second, full: name == "epro-rpc-2"})
	}
	all = append(all, trial{name: "SIGSTOP project-api-2", brk: send("project-api-2", syscall.SIGSTOP), cure: send("project-api-2", syscall.SIGCONT), lasts: 6 * time.Second})
	for _, name := range []string{"vitals-rpc-2", "epro-rpc", "subject-rpc-2"} {
		way := func(what string, brk func(t testing.TB, l *link), cure func(t testing.TB, l *link), full bool) trial {
			return trial{name: name + " " + what, lasts: 5 * time.Second, full: full,
				brk:  func(t *testing.T, s *suite) { brk(t, s.links[name]) },
				cure: func(t *testing.T, s *suite) { cure(t, s.links[name]) },
			}
		}
		well := func(t testing.TB, l *link) { l.cure(t) }
		all = append(all,
			way("hangs", func(t testing.TB, l *link) { l.hang(t) }, well, name == "epro-rpc"),
			way("300 ms slower", func(t testing.TB, l *link) { l.slow(t, 300*time.Millisecond) }, well, name != "vitals-rpc-2"),
			way("cut off", func(_ testing.TB, l *link) { l.cut() }, func(t testing.TB, l *link) { l.mend(t) }, name != "subject-rpc-2"),
			way("loses its connections every 64 KiB", func(t testing.TB, l *link) { l.lossy(t, 64<<10) }, well, name != "epro-rpc"),
		)
	}
	return append(all,
		trial{name: "kill -9 etcd", brk: send("etcd", syscall.SIGKILL), cure: none, lasts: 4 * time.Second},
		trial{name: "SIGSTOP etcd", brk: send("etcd", syscall.SIGSTOP), cure: send("etcd", syscall.SIGCONT), lasts: 15 * time.Second, full: true},
		trial{name: "way to etcd cut", brk: func(_ *testing.T, s *suite) { s.links["etcd"].cut() },
			cure: func(t *testing.T, s *suite) { s.links["etcd"].mend(t) }, lasts: 15 * time.Second, full: true},
		trial{name: "etcd's data wiped", brk: wipeEtcd, cure: none, lasts: 15 * time.Second},
	)
}

func send(name string, sig syscall.Signal) func(*testing.T, *suite) {
	return func(t *testing.T, s *suite) { t.Helper(); s.signal(t, name, sig) }
}

// wipeEtcd empties the folder between the death of one etcd and the start of the
// next. The launcher starts it at once, so the folder goes first: etcd keeps what
// it has open.
func wipeEtcd(t *testing.T, s *suite) {
	if err := os.RemoveAll(filepath.Join(s.data, "etcd", "member")); err != nil {
		t.Fatal(err)
	}
	s.signal(t, "etcd", syscall.SIGKILL)
}

// callers at once, in the tests with a load of their own pace.
const callers = 8

// Whatever happens to one replica, or to etcd, no request fails that another one
// could serve, nothing acknowledged is lost and nothing is doubled.
func TestOneReplicaFalls(t *testing.T) {
	s := startSuite(t, replicated)
	w := newWorld(t, s, 2)
	for _, c := range trials() {
		if short && c.full {
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.undergo(t, s, w) })
	}
}

// undergo breaks one thing under load, cures it, and holds the suite to it that no
// request failed and none was forgotten.
func (c trial) undergo(t *testing.T, s *suite, w *world) {
	l := startLoad(w, callers)
	time.Sleep(time.Second)
	broken := l.now()
	c.brk(t, s)
	time.Sleep(c.lasts)
	c.cure(t, s)
	cured := l.now()
	time.Sleep(2 * time.Second)
	l.end()
	r, after := l.between(broken, cured), l.between(cured, l.now())
	t.Logf("ROW | %s | %d | %d | %d | %v | %v | %v |", c.name, r.n+after.n, r.retried+after.retried, r.failed+after.failed,
		max(r.most, after.most).Round(time.Millisecond), r.lastTrouble.Round(10*time.Millisecond), after.lastTrouble.Round(10*time.Millisecond))
	if r.failed+after.failed > 0 {
		t.Errorf("%d and %d requests failed: %v %v", r.failed, after.failed, r.trouble, after.trouble)
	}
	if r.n < 20 || after.n < 20 {
		t.Errorf("only %d and %d requests: this shows too little", r.n, after.n)
	}
	if r.blunt+after.blunt > 0 {
		t.Errorf("%d answers of 503 without Retry-After", r.blunt+after.blunt)
	}
	l.checkHistory(t)
}

// The full form goes on for so many requests, or so long.
const (
	rollOver    = 100_000
	rollFor     = 10 * time.Minute
	rollCallers = 24
)

// Every process is upgraded in turn to another build, and then restarted, round
// and round, and no request fails. (The launcher's etcd comes from elsewhere, and
// is only restarted.)
func TestRollingRestart(t *testing.T) {
	s := prepare(t, replicated)
	s.copyBinaries(t)
	upgrade := filepath.Join(s.dir, "upgrade")
	buildOtherwise(t, upgrade)
	s.start(t, replicated)
	w := newWorld(t, s, 2)
	l := startLoad(w, rollCallers)
	time.Sleep(time.Second)
	rounds := 0
	for end := l.now() + rollFor; rounds == 0 || !short && l.now() < end && l.between(0, l.now()).n < rollOver; rounds++ {
		for _, name := range []string{"vitals-rpc", "vitals-rpc-2", "epro-rpc", "epro-rpc-2", "subject-rpc", "subject-rpc-2", "dicom-rpc", "dicom-rpc-2", "project-api", "project-api-2", "etcd"} {
			if rounds == 0 && name != "etcd" && !strings.HasSuffix(name, "-2") {
				if err := os.Rename(filepath.Join(upgrade, name), filepath.Join(s.bin, name)); err != nil {
					t.Fatal(err)
				}
			}
			s.restart(t, name)
			s.answers(t, name)
			if name != "etcd" && !s.runs(t, name, strings.TrimSuffix(name, "-2")) {
				t.Errorf("%s does not run what it was upgraded to", name)
			}
		}
	}
	l.end()
	r := l.between(0, l.now())
	t.Logf("ROW | upgrade of everything, and rolling restarts, %d rounds | %d | %d | %d | %v | - | - |", rounds, r.n, r.retried, r.failed, r.most.Round(time.Millisecond))
	if r.failed > 0 {
		t.Errorf("%d of %d requests failed: %v", r.failed, r.n, r.trouble)
	}
	l.checkHistory(t)
}

// restart ends a process gently and waits until its successor is there.
func (s *suite) restart(t *testing.T, name string) {
	t.Helper()
	old, begun := s.pid(t, name), time.Now()
	s.signal(t, name, syscall.SIGTERM)
	for s.find(name) == old || s.find(name) == 0 {
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("%s has not stopped after 10 s", name)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// runs says whether the process runs the file that lies in its place now.
func (s *suite) runs(t *testing.T, name, program string) bool {
	t.Helper()
	running, err := os.Stat(fmt.Sprintf("/proc/%d/exe", s.pid(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	lies, err := os.Stat(filepath.Join(s.bin, program))
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(running, lies)
}

// answers waits until a restarted process is in its place again, as whoever
// restarts things in turn must.
func (s *suite) answers(t *testing.T, name string) {
	t.Helper()
	if name == "etcd" {
		time.Sleep(time.Second)
		return
	}
	ports := map[string]int{"project-api": 9200, "vitals-rpc": 9201, "dicom-rpc": 9202, "epro-rpc": 9203, "subject-rpc": 9204}
	base, second := name, 0
	if n := len(name); name[n-2:] == "-2" {
		base, second = name[:n-2], 10
	}
	registered := map[string]string{"vitals-rpc": "vitals.rpc", "dicom-rpc": "dicom.rpc", "epro-rpc": "epro.rpc", "subject-rpc": "subject.rpc"}[base]
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if listens(ports[base]+second) && (registered == "" || metric(t, ports[base]+second, fmt.Sprintf("clinsource_discovery_registered{key=%q}", registered)) == 1) {
			time.Sleep(500 * time.Millisecond) // Callers hear of it and connect.
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not come back", name)
		}
	}
}
