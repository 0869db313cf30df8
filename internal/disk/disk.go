// Package disk tells how much room is left where a process keeps its data: as
// metrics, looked up when they are scraped, and to clinctl doctor. What is counted
// is what this user may fill, as the kernel counts it.
package disk

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

var (
	freeDesc = prometheus.NewDesc("clinsource_disk_free_bytes",
		"Room left for this process where it keeps its data.", []string{"store"}, nil)
	sizeDesc = prometheus.NewDesc("clinsource_disk_size_bytes",
		"Size of the file system where this process keeps its data.", []string{"store"}, nil)

	watched = &folders{byStore: map[string]string{}}
)

func init() { prometheus.MustRegister(watched) }

// Room gives the bytes that are left to this user, and in all, of the file system
// that holds path.
func Room(path string) (free, size uint64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return 0, 0, err
	}
	block := uint64(fs.Bsize)
	return fs.Bavail * block, fs.Blocks * block, nil
}

// Watch shows the room in folder as metrics, from now on, labelled with what is
// stored there (vitals, images).
func Watch(store, folder string) {
	watched.mu.Lock()
	defer watched.mu.Unlock()
	watched.byStore[store] = folder
}

// folders looks when it is scraped.
type folders struct {
	mu      sync.Mutex
	byStore map[string]string
}

// Describe implements prometheus.Collector.
func (f *folders) Describe(ch chan<- *prometheus.Desc) { ch <- freeDesc; ch <- sizeDesc }

// Collect implements prometheus.Collector. A folder that cannot be asked has no
// series: that is an alert of its own.
func (f *folders) Collect(ch chan<- prometheus.Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for store, folder := range f.byStore {
		free, size, err := Room(folder)
		if err != nil {
			continue
		}
		ch <- prometheus.MustNewConstMetric(freeDesc, prometheus.GaugeValue, float64(free), store)
		ch <- prometheus.MustNewConstMetric(sizeDesc, prometheus.GaugeValue, float64(size), store)
	}
}
