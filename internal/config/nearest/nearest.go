// Package nearest finds the word that somebody probably meant. Start-up errors
// use it for configuration keys, gRPC services and peer names: "unknown key
// Timeuot; did you mean Timeout?".
package nearest

import "strings"

// Of gives the known word closest to the written one, and false when none is
// close enough to be worth suggesting. One edit is a letter dropped, added or
// replaced, or two neighbours swapped; case does not count. A third of the
// letters may be wrong, one in short words. Of equally close words the one
// with the same first letter wins, then the one named first.
func Of(written string, known []string) (string, bool) {
	word := strings.ToLower(written)
	best, bestScore := "", 2*max(1, len(word)/3)+2
	for _, k := range known {
		candidate := strings.ToLower(k)
		score := 2 * edits([]rune(word), []rune(candidate))
		if !sameStart(word, candidate) {
			score++ // half an edit: it decides between equals only
		}
		if score < bestScore {
			best, bestScore = k, score
		}
	}
	return best, best != ""
}

func sameStart(a, b string) bool {
	return a != "" && b != "" && a[0] == b[0]
}

// edits is the optimal string alignment distance. Three rows are enough: a
// swap looks back two.
func edits(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
