package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sample is one line of /metrics.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

var (
	sampleLine  = regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? ([^ ]+)$`)
	sampleLabel = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
)

// parseMetrics reads what this project's own metrics need of the text format.
func parseMetrics(text string) (samples []sample) {
	for line := range strings.Lines(text) {
		m := sampleLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			continue
		}
		s := sample{name: m[1], labels: map[string]string{}, value: value}
		for _, l := range sampleLabel.FindAllStringSubmatch(m[2], -1) {
			s.labels[l[1]] = l[2]
		}
		samples = append(samples, s)
	}
	return samples
}

// inOrder is "Batch 12s, Commit 1m0s".
func inOrder(seconds map[string]float64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(seconds)) {
		parts = append(parts, fmt.Sprintf("%s %v", name, time.Duration(seconds[name]*float64(time.Second))))
	}
	return strings.Join(parts, ", ")
}
