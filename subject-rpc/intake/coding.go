package intake

import "clinsource/internal/judgement"

// Coding is a code out of a code system.
type Coding = judgement.Coding

func (j *judge) judgeCoding(path string, c *Coding) {
	if c == nil {
		j.Refuse(judgement.RuleValueMissing, messageCodingMissing, path)
		return
	}
	j.Coding(path, *c, "http://www.whocc.no/atc", "the code")
}
