package main

import (
	"runtime"
	"testing"
	"time"
)

func TestPatienceTakesAnotherLapUntilItRunsOut(t *testing.T) {
	cores := time.Duration(runtime.NumCPU())
	quiet := lap{took: time.Second, cpu: map[string]time.Duration{"bench": cores * time.Second / 2, idleKey: cores * time.Second / 2}}
	disturbed := lap{took: time.Second, cpu: map[string]time.Duration{"bench": cores * time.Second / 2}}
	p := &patience{left: 1500 * time.Millisecond}
	if !p.accepts(quiet) || p.left != 1500*time.Millisecond {
		t.Errorf("a quiet lap is refused, or cost patience: %v left", p.left)
	}
	for range 2 {
		if p.accepts(disturbed) {
			t.Error("a lap that others took half of the machine from counts, with patience left")
		}
	}
	if !p.accepts(disturbed) {
		t.Error("patience never runs out")
	}
}

func TestWaitingEnds(t *testing.T) {
	if err := (&patience{}).wait(t.Context()); err != nil {
		t.Error(err)
	}
	share, err := idleShare(t.Context())
	if err != nil || share < 0 || share > 1.1 { // Ticks are coarse.
		t.Errorf("idle share %v, %v", share, err)
	}
}
