package main

import (
	"slices"
	"testing"
)

func TestParseScale(t *testing.T) {
	s, err := parseScale([]string{"-rows", "5000,200000", "-callers", "4"})
	if err != nil || !slices.Equal(s.sizes, []int64{5000, 200000}) || s.callers != 4 {
		t.Errorf("sizes %v, callers %d (%v)", s.sizes, s.callers, err)
	}
	for _, args := range [][]string{{"-rows", "ten"}, {"-rows", "7"}, {"-rows", "5000", "more"}, {"-callers", "0"}} {
		if _, err := parseScale(args); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
