package records_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"clinsource/internal/audit"
	"clinsource/internal/auth"
	"clinsource/internal/callinfo"
	"clinsource/internal/page"
	"clinsource/internal/records"
	"clinsource/internal/sqldb"
)

const (
	crashPath  = "CLINSOURCE_TEST_CRASH_DB"
	crashKills = "CLINSOURCE_AUDIT_KILLS"
	parallel   = 1000
)

// TestMain runs the tests, or, started by TestKilledWithItsAudit, the process that is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashPath); path != "" {
		if err := writeUntilKilled(context.Background(), path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// writeUntilKilled stores and reads with many callers at once, and says of each call
// that was answered which it was: its request id.
func writeUntilKilled(ctx context.Context, path string) error {
	db, err := sqldb.Open(ctx, sqldb.Config{Path: path, Queue: 2 * parallel}, records.WithSchema())
	if err != nil {
		return err
	}
	store := records.NewStore(db, auth.Vitals)
	var answered sync.Mutex
	out := bufio.NewWriter(os.Stdout)
	run := strconv.FormatInt(time.Now().UnixNano(), 36)
	for caller := range parallel {
		go func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%s-%d-%d", run, caller, n)
				ctx, cancel := context.WithTimeout(auth.WithUser(callinfo.WithRequestID(ctx, id), &auth.User{Subject: "nurse"}), time.Minute)
				var err error
				if n%2 == 0 {
					d := draft(id, id)
					d.Patient = fmt.Sprint("x-", caller)
					_, _, err = store.Put(ctx, d)
				} else {
					_, _, err = store.List(ctx, everything, records.Wanted{Patient: fmt.Sprint("x-", caller)}, page.Request{Size: 50})
				}
				cancel()
				if err != nil {
					continue
				}
				answered.Lock()
				_, _ = out.WriteString(id + "\n")
				_ = out.Flush()
				answered.Unlock()
			}
		}()
	}
	select {} // Until it is killed.
}

// TestKilledWithItsAudit: 1,000 callers write and read, the process is killed at random
// moments: what was answered has its record in the log, a change has its record and a
// record its change. CLINSOURCE_AUDIT_KILLS says how often (make test-faults: 50).
//
// Shows R06, R09.
func TestKilledWithItsAudit(t *testing.T) {
	kills := 4
	if text := os.Getenv(crashKills); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		kills = n
	}
	path := filepath.Join(t.TempDir(), "crash.db")
	answered := map[string]bool{}
	for range kills {
		for _, id := range killedRun(t, path) {
			answered[id] = true
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	db, err := sqldb.Open(ctx, sqldb.Config{Path: path}, records.WithSchema())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	created, logged := map[string]string{}, map[string]bool{} // Digest by record; request ids.
	next := map[int64]int64{}
	for r, err := range audit.Rows(ctx, db) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Index != next[r.Lane] || r.Hash().String() != r.Leaf {
			t.Fatalf("record %d of lane %d follows %d, or does not fit its leaf", r.Index, r.Lane, next[r.Lane]-1)
		}
		next[r.Lane]++
		logged[r.RequestID] = true
		if r.Action == "create" {
			created[r.Record] = r.Digest
		}
	}
	for id := range answered {
		if !logged[id] {
			t.Errorf("the call %s was answered and has no record in the log", id)
		}
	}
	stored := 0
	for v, err := range records.NewStore(db, auth.Vitals).Stored(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		stored++
		if created[v.Record] != v.Digest {
			t.Errorf("the record %s is stored without its record in the log", v.Record)
		}
	}
	if stored != len(created) || len(answered) == 0 {
		t.Errorf("%d records are stored, the log has %d; %d calls were answered", stored, len(created), len(answered))
	}
	t.Logf("%d kills: %d calls answered, %d records in the log, %d stored", kills, len(answered), len(logged), stored)
}

// killedRun gives the calls that a process answered before it was killed.
func killedRun(t *testing.T, path string) (answered []string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0]) // #nosec G204 -- this test's own binary
	command.Env = append(os.Environ(), crashPath+"="+path)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // A line that is not whole was not told.
		}
		if answered = append(answered, strings.TrimSpace(line)); len(answered) == 1 {
			time.AfterFunc(time.Duration(rand.IntN(1000))*time.Millisecond, func() { _ = command.Process.Kill() })
		}
	}
	if err := command.Wait(); err == nil {
		t.Fatal("the process ended by itself")
	}
	return answered
}
