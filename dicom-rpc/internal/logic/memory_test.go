package logic_test

import (
	"io"
	"runtime"
	"testing"
	"time"

	"clinsource/dicom-rpc/dicomfile"
	dicompb "clinsource/proto/dicom"
)

// TestUploadMemory sends 300 MB in constant memory: client and server in this one
// process together, the heap must not follow the file.
func TestUploadMemory(t *testing.T) {
	const frames, allowed = 150, 24 << 20 // Frames of 2 MiB; bytes of heap.
	f := open(t)
	f.send(t, &dicompb.FileInfo{}, synthetic(t, dicomfile.SyntheticSpec{PatientID: "s-01"})) // Everything is warm.
	r, w := io.Pipe()
	go func() {
		_, err := dicomfile.WriteSynthetic(w, dicomfile.SyntheticSpec{PatientID: "s-01", Rows: 1024, Columns: 1024, Frames: frames})
		w.CloseWithError(err)
	}()
	before := heap()
	stop, most := make(chan struct{}), make(chan uint64)
	go func() {
		peak := heap()
		for {
			select {
			case <-stop:
				most <- peak
				return
			case <-time.After(5 * time.Millisecond):
				peak = max(peak, heap())
			}
		}
	}()
	resp, err := f.uploadFrom(within(t), &dicompb.FileInfo{}, r)
	close(stop)
	peak := <-most
	if err != nil || resp.GetSize() < frames<<21 {
		t.Fatal(resp, err)
	}
	if peak > before+allowed {
		t.Errorf("the heap grew from %d to %d KiB while %d MiB came", before>>10, peak>>10, resp.GetSize()>>20)
	}
	t.Logf("heap %d KiB before, %d KiB at its peak", before>>10, peak>>10)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
