package sqldb

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// childEnv makes the test binary a writer that acknowledges on stdout what it
// was told is durable, until it is killed.
const childEnv = "SQLDB_TEST_CHILD"

func runChildIfAsked() {
	path := os.Getenv(childEnv)
	if path == "" {
		return
	}
	if err := child(path, os.Getenv(childEnv+"_ROUND")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(path, round string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := Open(ctx, Config{Path: path}, testMigrations)
	if err != nil {
		return err
	}
	var callers sync.WaitGroup
	for caller := range 16 {
		callers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("%s-%d-%d", round, caller, n)
				if err := db.Write(ctx, addNote(ctx, id)); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				fmt.Println(id) // one write call: never torn by the kill
			}
		})
	}
	callers.Wait()
	return db.Close()
}

func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	var acknowledged []string
	for round := range 10 {
		ids := killedChild(t, path, round, 20+round*30)
		if len(ids) == 0 {
			t.Fatalf("round %d: the child acknowledged nothing", round)
		}
		acknowledged = append(acknowledged, ids...)
		checkNotes(t, path, acknowledged)
	}
	t.Logf("%d rows acknowledged in 10 killed processes, all there", len(acknowledged))
}

// killedChild gives what a child acknowledged until it was killed, soon after
// its first n rows.
func killedChild(t *testing.T, path string, round, n int) (ids []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path, fmt.Sprintf("%s_ROUND=%d", childEnv, round))
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, strings.TrimSpace(line))
		if len(ids) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(ids) < n {
		t.Fatalf("round %d: the child ended by itself after %d rows: %s", round, len(ids), complaints.String())
	}
	return ids
}

// checkNotes opens the database as the next process would.
func checkNotes(t *testing.T, path string, want []string) {
	t.Helper()
	ctx := within(t, time.Minute)
	db, err := Open(ctx, Config{Path: path}, testMigrations)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRow(ctx, `PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Fatalf("integrity check: %s (%v)", verdict, err)
	}
	there := make(map[string]bool)
	rows, err := db.Query(ctx, `SELECT id FROM notes`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		there[id] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, id := range want {
		if !there[id] {
			t.Errorf("row %s was acknowledged and is lost", id)
		}
	}
}
