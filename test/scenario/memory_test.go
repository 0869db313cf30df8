package scenario

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"clinsource/dicom-rpc/dicomfile"
)

// What a process may take beside its idle size while it passes images on.
const (
	mib           = 1 << 20
	moreInAll     = 32 * mib
	morePerUpload = 4 * mib
	mostOfAll     = 128 * mib
)

// processNames are all that the suite runs; imagePath those that images pass.
var (
	processNames = []string{"etcd", "vitals-rpc", "dicom-rpc", "epro-rpc", "subject-rpc", "project-api"}
	imagePath    = []string{"dicom-rpc", "project-api"}
)

// pids gives the process ids of the whole suite.
func (s *suite) pids(t testing.TB) map[string][]int {
	t.Helper()
	ids := map[string][]int{}
	for _, name := range processNames {
		ids[name] = s.find(t, name)
	}
	return ids
}

// residentSize reads VmRSS (now) or VmHWM (the peak) of a process, in bytes; of
// replicas, the largest.
func residentSize(t testing.TB, name, field string) (largest int64) {
	t.Helper()
	for _, pid := range theSuite.find(t, name) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(status)) {
			var kib int64
			if _, err := fmt.Sscanf(line, field+": %d kB", &kib); err == nil {
				largest = max(largest, kib<<10)
			}
		}
	}
	if largest == 0 {
		t.Fatalf("no %s in /proc/PID/status of %s", field, name)
	}
	return largest
}

func idleSizes(t testing.TB) map[string]int64 {
	t.Helper()
	idle := map[string]int64{}
	for _, name := range imagePath {
		idle[name] = residentSize(t, name, "VmRSS")
	}
	return idle
}

// resetPeaks makes the kernel forget the peaks so far.
func resetPeaks(t testing.TB) {
	t.Helper()
	for _, name := range imagePath {
		for _, pid := range theSuite.find(t, name) {
			if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
				t.Fatalf("reset the peak of %s: %v", name, err)
			}
		}
	}
}

// checkPeaks holds the peaks since resetPeaks against the bound for so many
// transfers at once.
func checkPeaks(t testing.TB, phase string, idle map[string]int64, atOnce int64) {
	t.Helper()
	for _, name := range imagePath {
		peak := residentSize(t, name, "VmHWM")
		holdPeak(t, phase, name, idle[name], peak, min(idle[name]+moreInAll+atOnce*morePerUpload, mostOfAll))
	}
}

// morePerSlowReader bounds a download whose reader stands still, through gRPC's
// and HTTP/2's buffers of both hops: 7 MiB each were measured in the gateway.
const morePerSlowReader = 8 * mib

func checkSlowReaders(t testing.TB, phase string, idle map[string]int64, atOnce int64) {
	t.Helper()
	for _, name := range imagePath {
		holdPeak(t, phase, name, idle[name], residentSize(t, name, "VmHWM"), idle[name]+moreInAll+atOnce*morePerSlowReader)
	}
}

func holdPeak(t testing.TB, phase, name string, idle, peak, bound int64) {
	t.Helper()
	t.Logf("%-28s %-12s idle %3d MiB, peak %3d MiB, allowed %3d MiB", phase, name, idle/mib, peak/mib, bound/mib)
	if peak > bound {
		t.Errorf("%s: %s took %d MiB, allowed are %d", phase, name, peak/mib, bound/mib)
	}
}

// needRoom fails at once where the disk cannot hold the test.
func needRoom(t *testing.T, bytes uint64) {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs(theSuite.data, &fs); err != nil {
		t.Fatal(err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < bytes {
		t.Fatalf("%s has %d MiB free, this test needs %d: make room, or point TMPDIR to where there is", theSuite.data, free/mib, bytes/mib)
	}
}

// restarted kills both processes of the path, so that idle is what a fresh one
// takes, and waits until an image passes again.
func restarted(t *testing.T, w *world, ways []sender) map[string]int64 {
	t.Helper()
	for _, name := range imagePath {
		theSuite.signal(t, name, syscall.SIGKILL)
	}
	eventually(t, 15*time.Second, func() error {
		r, err := w.admin.try("GET", w.path, nil)
		if err != nil {
			return err
		}
		if r.status != 200 {
			return fmt.Errorf("status %d", r.status)
		}
		return allOK(r.object(t))
	})
	patient, _ := w.subject(t, "s1")
	for _, way := range ways {
		if v := sendSynthetic(t, way, patient, dicomfile.SyntheticSpec{Rows: 16, Columns: 16}); !v.created {
			t.Fatalf("%s: %+v", way.name, v)
		}
	}
	time.Sleep(time.Second)
	return idleSizes(t)
}

// sendSynthetic streams an image that is never held, and checks that its digest
// is the one answered.
func sendSynthetic(t testing.TB, way sender, patient string, spec dicomfile.SyntheticSpec) verdict {
	t.Helper()
	r, w := io.Pipe()
	digest := sha256.New()
	written := make(chan int64, 1)
	go func() {
		n, err := dicomfile.WriteSynthetic(io.MultiWriter(w, digest), spec)
		w.CloseWithError(err)
		written <- n
	}()
	v := way.send(t, patient, r, -1)
	_ = r.Close()
	if n := <-written; v.size != n || v.sha256 != hex.EncodeToString(digest.Sum(nil)) {
		t.Errorf("%s: %d bytes were sent, the answer is %+v", way.name, n, v)
	}
	return v
}

// frames makes a spec of so many MiB of pixels.
func frames(mebibytes int, seed uint64) dicomfile.SyntheticSpec {
	return dicomfile.SyntheticSpec{Rows: 1024, Columns: 512, Frames: mebibytes, Seed: seed}
}

// Memory does not grow with the file: one of 2 GiB, ten of 100 MiB at once, and
// the large one's way back.
func TestImageMemory(t *testing.T) {
	const large, many, middle = 2048, 10, 100 // MiB, uploads at once, MiB
	w := newWorld(t)
	ways := w.senders(t)
	for i, way := range ways {
		needRoom(t, (large+many*middle+512)*mib)
		idle := restarted(t, w, ways)
		patient, _ := w.subject(t, "s1")
		resetPeaks(t)
		begun := time.Now()
		v := sendSynthetic(t, way, patient, frames(large, uint64(i)))
		t.Logf("%s: 2 GiB sent at %.0f MiB/s", way.name, large/time.Since(begun).Seconds())
		checkPeaks(t, way.name+", 2 GiB", idle, 1)
		if !v.created {
			t.Fatalf("%+v", v)
		}
		resetPeaks(t)
		begun = time.Now()
		if came := way.receive(t, patient, v.id, io.Discard); came.GetSha256() != v.sha256 {
			t.Errorf("%s: other bytes came back", way.name)
		}
		t.Logf("%s: 2 GiB came back at %.0f MiB/s", way.name, large/time.Since(begun).Seconds())
		checkPeaks(t, way.name+", 2 GiB back", idle, 1)
		forget(t, v.id)

		resetPeaks(t)
		begun = time.Now()
		ids := sendMany(t, way, patient, many, middle)
		t.Logf("%s: %d of %d MiB sent at %.0f MiB/s in all", way.name, many, middle, many*middle/time.Since(begun).Seconds())
		checkPeaks(t, fmt.Sprintf("%s, %d x %d MiB", way.name, many, middle), idle, many)
		resetPeaks(t)
		receiveMany(t, way, patient, ids)
		checkSlowReaders(t, fmt.Sprintf("%s, %d slow readers", way.name, many), idle, many)
		forget(t, ids...)
	}
}

// sendMany sends n images at once.
func sendMany(t *testing.T, way sender, patient string, n, mebibytes int) []string {
	t.Helper()
	ids := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			v := sendSynthetic(t, way, patient, frames(mebibytes, uint64(1000+i)))
			if !v.created {
				t.Errorf("upload %d: %+v", i, v)
			}
			ids[i] = v.id
		})
	}
	wg.Wait()
	return ids
}

// hesitant is a reader who stops for a while in the middle: what it does not
// take must wait on the disk, not in anybody's memory.
type hesitant struct{ left int }

func (h *hesitant) Write(p []byte) (int, error) {
	if h.left -= len(p); h.left <= 0 && h.left+len(p) > 0 {
		time.Sleep(2 * time.Second)
	}
	return len(p), nil
}

// receiveMany downloads the images at once, each to a hesitant reader.
func receiveMany(t *testing.T, way sender, patient string, ids []string) {
	t.Helper()
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() { way.receive(t, patient, id, &hesitant{left: 4 * mib}) })
	}
	wg.Wait()
}

// forget truncates stored images behind the service's back: the test has looked
// at them, and the disk need not hold them all.
func forget(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if id == "" {
			continue
		}
		if err := os.Truncate(filepath.Join(theSuite.folder("dicom-rpc"), "images", id[len(id)-2:], id), 0); err != nil {
			t.Errorf("make room: %v", err)
		}
	}
}
