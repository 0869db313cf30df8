package auditlog

import (
	"sync"
)

// Refusal is what one caller was refused, and how often.
type Refusal struct {
	Source  string // Where they came from: a network address, or a process.
	Actor   string // Who, where a token said so.
	Method  string // The RPC or route.
	Reason  string // Of internal/fault.
	Project string // What was asked for, where it was an allowed identifier.
	Patient string
	Count   int64
}

// maxSources bounds what is counted apart until the next Take: whoever has no token
// must not be able to fill memory or disk. What is beyond is counted together.
const maxSources = 500

// Others is the source of refusals that are not counted apart.
const Others = "others"

// Refusals counts refusals by all that they say, in bounded memory.
type Refusals struct {
	mu     sync.Mutex
	counts map[Refusal]int64
}

// Add counts one, or as many as it says.
func (r *Refusals) Add(one Refusal) {
	n := max(1, one.Count)
	one.Count = 0
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[Refusal]int64{}
	}
	if _, known := r.counts[one]; !known && len(r.counts) >= maxSources {
		one = Refusal{Source: Others, Reason: one.Reason} // There are few reasons.
	}
	r.counts[one] += n
}

// Take gives what was counted, and begins anew.
func (r *Refusals) Take() []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Refusal
	for one, n := range r.counts {
		one.Count = n
		all = append(all, one)
	}
	r.counts = nil
	return all
}
