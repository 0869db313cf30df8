package subjects

import (
	"slices"
	"time"

	"clinsource/internal/auth"
	"clinsource/internal/fault"
)

// purposes are what a subject may consent to, and which kinds of records each
// covers: without it, nothing of that kind may be taken. Future research covers
// none: it is about the use of what was taken.
var purposes = map[string][]auth.Kind{
	"trial":           {auth.Vitals, auth.Images, auth.Reports, auth.Medications},
	"images":          {auth.Images},
	"epro":            {auth.Reports},
	"future-research": {},
}

// IsPurpose says whether there is such a purpose.
func IsPurpose(name string) bool {
	_, ok := purposes[name]
	return ok
}

// Gap is a time during which a subject's consent to a purpose was withdrawn: from
// the withdrawal to the next consent.
type Gap struct {
	Purpose     string
	From, Until time.Time // Until is zero while there is no consent anew.
}

// Consents are a subject's gaps. A nil one has none, and so has a subject of whom
// no consent was ever recorded: it is then kept elsewhere.
type Consents struct{ gaps []Gap }

// NewConsents makes the consents of the gaps, nil of none.
func NewConsents(gaps []Gap) *Consents {
	if len(gaps) == 0 {
		return nil
	}
	return &Consents{gaps}
}

// refuses says whether a record of this kind, dated at this time, lies in a gap of
// a purpose that it needs.
func (c *Consents) refuses(what auth.Kind, at time.Time) bool {
	if c == nil {
		return false
	}
	return slices.ContainsFunc(c.gaps, func(g Gap) bool {
		return slices.Contains(purposes[g.Purpose], what) && !at.Before(g.From) && (g.Until.IsZero() || at.Before(g.Until))
	})
}

// Refuse answers FailedPrecondition for a record of this kind that is dated at or
// after the subject's withdrawal from the trial, or while their consent to what
// the record needs was withdrawn. When it arrives does not matter.
func (p Place) Refuse(what auth.Kind, at time.Time, field string) error {
	switch {
	case !p.Withdrawn.IsZero() && !at.Before(p.Withdrawn):
		return fault.Precondition(fault.ReasonWithdrawn, field+" is at or after the subject's withdrawal: this may not be taken")
	case p.Consents.refuses(what, at):
		return fault.Precondition(fault.ReasonConsentWithdrawn, field+" lies where the subject's consent to this was withdrawn: this may not be taken")
	}
	return nil
}
