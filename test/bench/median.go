package main

import (
	"cmp"
	"slices"
	"time"
)

// median of numbers in any order; 0 of none.
func median[T int64 | float64 | time.Duration](values []T) T {
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[T])
	n := len(sorted)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// percentile p (0 to 1) of ascending times, the nearest rank; 0 of none.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

// over gives the median, over a contender's laps, of what f makes of a lap.
func over[T int64 | float64 | time.Duration](laps []lap, f func(lap) T) T {
	values := make([]T, len(laps))
	for i, l := range laps {
		values[i] = f(l)
	}
	return median(values)
}
