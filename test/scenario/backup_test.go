package scenario

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"clinsource/dicom-rpc/dicomfile"
	"clinsource/internal/sqldb/pgtest"
)

// TestBackupDrill takes a backup while the suite is written to, restores it, and
// lets a suite run on what came back: all that was acknowledged before the backup
// began is there as it was, over the same interfaces. Restore itself compares
// the counts and digests of all tables and images.
// Shows R45.
func TestBackupDrill(t *testing.T) {
	drill{restored: func(*testing.T, string) string { return "" }}.run(t)
}

// TestBackupDrillOnPostgres is the same from one PostgreSQL database to another.
// Shows R45.
func TestBackupDrillOnPostgres(t *testing.T) {
	server := pgtest.New(t)
	store := func() string { return server.URL(pgtest.Owner, server.Database(t)) }
	original, from := theSuite.data, store()
	exchange(t, t.TempDir(), "CLINSOURCE_STORE="+from)
	defer exchange(t, original)
	drill{from: []string{"--store", from}, env: "CLINSOURCE_STORE=" + from, restored: func(t *testing.T, data string) string {
		to := store()
		if out := clinctl(t, "move", "--from", data, "--store", to); strings.Count(out, "on both sides") < 4 {
			t.Errorf("move says %s", out)
		}
		return "CLINSOURCE_STORE=" + to
	}}.run(t)
}

// drill is what differs between the engines.
type drill struct {
	from     []string                                     // What clinctl backup is told of the database.
	env      string                                       // How a suite starts on it.
	restored func(t *testing.T, data string) (env string) // Brings what was restored back to the engine.
}

func (d drill) run(t *testing.T) {
	w := newWorld(t)
	patient, path := w.subject(t, "s1")
	_, busy := w.subject(t, "s2")
	picture := synthetic(t, dicomfile.SyntheticSpec{Rows: 64, Columns: 64, Seed: 17})
	v := w.admin.putImage(t, path+"/images", bytes.NewReader(picture), int64(len(picture)), "HTTP/2.0")
	if !v.created {
		t.Fatalf("the image: %+v", v)
	}
	for i := range 30 {
		body := heartRate()
		body["client_record_id"] = fmt.Sprintf("before-%d", i)
		w.admin.post(t, path+"/vitals", body).want(t, 201)
	}
	before := map[string]string{}
	for _, list := range []string{path + "/vitals?page_size=30", path + "/images", w.path + "/subjects"} {
		before[list] = string(w.admin.get(t, list).body)
	}

	folder := t.TempDir()
	file, secret, restored := filepath.Join(folder, "backup.age"), filepath.Join(folder, "key"), filepath.Join(folder, "data")
	public := strings.TrimSpace(clinctl(t, "backup", "--new-key", secret))
	quiet := w.keepWriting(t, busy)
	clinctl(t, append([]string{"backup", "--data", theSuite.data, "--to", public, "--out", file}, d.from...)...)
	quiet()
	sealed, err := os.ReadFile(file)
	if err != nil || bytes.Contains(sealed, []byte(patient)) {
		t.Errorf("the backup names a patient in the clear (%v)", err)
	}
	clinctl(t, "restore", "--in", file, "--key", secret, "--data", restored)

	original := theSuite.data
	exchange(t, restored, d.restored(t, restored))
	defer exchange(t, original, d.env)
	auditExport(t) // Which verifies it.
	for list, want := range before {
		if got := string(w.admin.get(t, list).body); got != want {
			t.Errorf("%s differs:\nbefore %s\nafter  %s", list, want, got)
		}
	}
	if err := allOK(w.admin.get(t, path).want(t, 200)); err != nil {
		t.Error(err)
	}
	var back bytes.Buffer
	if w.admin.getImage(t, path+"/images/"+v.id, &back); !bytes.Equal(back.Bytes(), picture) {
		t.Errorf("the image came back with %d bytes that differ", back.Len())
	}
	body := heartRate()
	body["client_record_id"] = "before-0"
	w.admin.post(t, path+"/vitals", body).want(t, 200) // Known for ever.
}

// keepWriting uploads vitals of a subject until it is told to stop.
func (w *world) keepWriting(t *testing.T, path string) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	var all sync.WaitGroup
	for writer := range 4 {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				body := fmt.Sprintf(`{"client_record_id":"w%d-%d","measurement_time":"2026-05-01T08:00:00Z","heart_rate":{"beats_per_minute":70}}`, writer, i)
				r, err := w.admin.try(http.MethodPost, path+"/vitals", strings.NewReader(body))
				if err != nil || r.status != http.StatusCreated {
					t.Errorf("a write during the backup: status %d, %v", r.status, err)
					return
				}
			}
		})
	}
	return sync.OnceFunc(func() { close(done); all.Wait() })
}

// clinctl runs the command line and gives what it prints.
func clinctl(t *testing.T, args ...string) string {
	t.Helper()
	c := exec.CommandContext(deadline(t, streamFor), "bin/clinctl", args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, io.MultiWriter(&out, os.Stderr)
	if err := c.Run(); err != nil {
		t.Fatalf("clinctl %s: %v\n%s", args[0], err, out.String())
	}
	return out.String()
}

// exchange lets the suite run on other data.
func exchange(t *testing.T, data string, env ...string) {
	t.Helper()
	if err := theSuite.stop(); err != nil {
		t.Fatal(err)
	}
	transport().CloseIdleConnections()
	fresh, err := startSuite(data, env...)
	if err != nil {
		t.Fatal(err)
	}
	theSuite = fresh
}
