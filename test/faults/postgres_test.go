package faults

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"clinsource/internal/sqldb/pgtest"
)

var dataFile = regexp.MustCompile(`(?m)^DataFile:.*$`)

// startOnPostgres runs the suite with two replicas of everything on a PostgreSQL of
// its own, where no process waits for another one's file.
func startOnPostgres(t *testing.T) (*suite, *pgtest.Server) {
	t.Helper()
	server := pgtest.New(t)
	database := server.Database(t)
	migrate := exec.Command(filepath.Join(root, "bin", "clinctl"), "migrate", "--store", server.URL(pgtest.Owner, database))
	migrate.Dir = root
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("clinctl migrate: %v\n%s", err, out)
	}
	s := prepare(t, replicated, func(name, config string) string {
		role := "clinsource_" + strings.TrimSuffix(name, "-rpc")
		return dataFile.ReplaceAllString(config, fmt.Sprintf("Postgres:\n  Url: %s", server.URL(role, database)))
	})
	s.start(t, replicated)
	return s, server
}

// On PostgreSQL a process that is stopped in the middle of whatever it does is one
// replica less, and nothing more; and PostgreSQL itself may be restarted.
func TestOneReplicaFallsOnPostgres(t *testing.T) {
	s, server := startOnPostgres(t)
	w := newWorld(t, s, 2)
	restart := func(signal string) func(*testing.T, *suite) {
		return func(t *testing.T, _ *suite) {
			server.Stop(t, signal)
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []trial{
		{name: "SIGSTOP vitals-rpc", brk: send("vitals-rpc", syscall.SIGSTOP), cure: send("vitals-rpc", syscall.SIGCONT), lasts: 6 * time.Second},
		{name: "SIGSTOP subject-rpc-2", brk: send("subject-rpc-2", syscall.SIGSTOP), cure: send("subject-rpc-2", syscall.SIGCONT), lasts: 6 * time.Second},
		{name: "SIGSTOP epro-rpc", brk: send("epro-rpc", syscall.SIGSTOP), cure: send("epro-rpc", syscall.SIGCONT), lasts: 6 * time.Second, full: true},
		{name: "kill -9 vitals-rpc-2", brk: send("vitals-rpc-2", syscall.SIGKILL), cure: none, lasts: 3 * time.Second, full: true},
		{name: "PostgreSQL restarted", brk: restart("INT"), cure: none, lasts: 3 * time.Second, full: true},
		{name: "PostgreSQL restarted as after a crash", brk: restart("QUIT"), cure: none, lasts: 3 * time.Second},
	} {
		if short && c.full {
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.undergo(t, s, w) })
	}
}
