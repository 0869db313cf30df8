package disk

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestRoomIsSeen(t *testing.T) {
	folder := t.TempDir()
	free, size, err := Room(folder)
	if err != nil || size == 0 || free > size {
		t.Fatalf("%d of %d, %v", free, size, err)
	}
	none := filepath.Join(folder, "none")
	if _, _, err := Room(none); err == nil {
		t.Error("a folder that there is not has room")
	}
	Watch("here", folder)
	Watch("gone", none)
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "clinsource_disk_") {
			continue
		}
		for _, m := range f.GetMetric() {
			if store := m.GetLabel()[0].GetValue(); store != "here" {
				t.Errorf("%s has %s", f.GetName(), store)
			}
			seen++
		}
	}
	if seen != 2 {
		t.Errorf("%d series", seen)
	}
}
