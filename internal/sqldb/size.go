package sqldb

import (
	"os"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"clinsource/internal/disk"
)

var (
	fileDesc = prometheus.NewDesc("clinsource_sqldb_file_bytes",
		"Size of a database's files: the database itself (main) and the log beside it (wal).", []string{"db", "file"}, nil)

	sizes = &fileSizes{byName: map[string]string{}}
)

func init() { prometheus.MustRegister(sizes) }

// watchFile shows the size of the database's files and the room around them.
func watchFile(cfg Config) {
	disk.Watch(cfg.Name, filepath.Dir(cfg.Path))
	sizes.mu.Lock()
	defer sizes.mu.Unlock()
	sizes.byName[cfg.Name] = cfg.Path
}

// fileSizes looks when it is scraped.
type fileSizes struct {
	mu     sync.Mutex
	byName map[string]string
}

// Describe implements prometheus.Collector.
func (s *fileSizes) Describe(ch chan<- *prometheus.Desc) { ch <- fileDesc }

// Collect implements prometheus.Collector.
func (s *fileSizes) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, path := range s.byName {
		for file, suffix := range map[string]string{"main": "", "wal": "-wal"} {
			if info, err := os.Stat(path + suffix); err == nil {
				ch <- prometheus.MustNewConstMetric(fileDesc, prometheus.GaugeValue, float64(info.Size()), name, file)
			}
		}
	}
}
