package report

import (
	"time"

	"github.com/cockroachdb/apd/v3"

	"clinsource/internal/judgement"
)

// Bounds of a report's answers; texts in bytes.
const (
	MaxAnswers = 500
	MaxLinkID  = 128
	MaxText    = 16 << 10
	// maxNumber is the longest decimal text that is read.
	maxNumber = 40
)

// Kind is what an answer's value is.
type Kind int

// The kinds. Zero is an answer without a value.
const (
	Boolean Kind = iota + 1
	Integer
	Decimal
	Text
	Choice
	Date
)

// fieldOf names the field of each kind's value in the contract.
var fieldOf = map[Kind]string{
	Boolean: "boolean_value", Integer: "integer_value", Decimal: "decimal_value",
	Text: "text_value", Choice: "coding_value", Date: "date_value",
}

// Coding is the value of a Choice.
type Coding = judgement.Coding

// Answer is the answer to one item. An item that repeats gives several answers
// with its LinkID, one after another.
type Answer struct {
	LinkID string
	Kind   Kind
	// Value is the answer as text: a number's decimal text as it was entered, the
	// free text, the date; "true" or "false" for a boolean; empty for a Choice.
	Value string
	// Coding is the value of a Choice.
	Coding Coding
}

func (j *judge) judgeAnswer(path string, a *Answer) {
	if a.LinkID == "" {
		j.Refuse(judgement.RuleValueMissing, messageLinkIDMissing, path+".link_id")
	}
	j.Text(path+".link_id", a.LinkID, MaxLinkID)
	value := path + "." + fieldOf[a.Kind]
	switch a.Kind {
	case Boolean:
	case Integer, Decimal:
		j.judgeNumber(value, a.Value, a.Kind == Integer)
	case Text:
		j.Text(value, a.Value, MaxText)
	case Choice:
		j.Coding(value, a.Coding, "http://loinc.org", "the code chosen")
	case Date:
		if !isDate(a.Value) {
			j.Refuse(RuleDateMalformed, messageDateMalformed, value)
		}
	default:
		j.Refuse(RuleAnswerValueMissing, messageAnswerValueMissing, path)
	}
}

// judgeNumber reads the text and not the typed number beside it, which may
// already be rounded.
func (j *judge) judgeNumber(path, text string, whole bool) {
	var number, integral, fraction apd.Decimal
	if len(text) <= maxNumber { // Reading takes the longer the longer the text.
		if _, _, err := number.SetString(text); err == nil && number.Form == apd.Finite {
			if number.Modf(&integral, &fraction); whole && !fraction.IsZero() {
				j.Refuse(RuleNotWhole, messageNotWhole, path)
			}
			return
		}
	}
	j.Refuse(RuleValueMalformed, messageValueMalformed, path)
}

// isDate says whether text is a day of the calendar from year 1 on, YYYY-MM-DD.
func isDate(text string) bool {
	day, err := time.Parse(time.DateOnly, text)
	return err == nil && day.Year() > 0
}

// judgeOrder holds that an item's answers stand together: an id that comes
// again after other items is taken for a mistake, because nobody can tell
// whether it repeats or was meant for another item.
func (j *judge) judgeOrder(answers []Answer) {
	last := make(map[string]int, len(answers))
	for i, a := range answers {
		before, seen := last[a.LinkID]
		if seen && before != i-1 && a.LinkID != "" {
			j.Refuse(RuleLinkIDScattered,
				"is the item of "+place(before)+" again; give each item once, or all answers of an item that repeats one after another",
				place(i)+".link_id")
		}
		last[a.LinkID] = i
	}
}

// judgeDuplicates asks about answers that say the same of the same item: two
// equal choices are one choice, sent twice.
func (j *judge) judgeDuplicates(answers []Answer) {
	var fields []string
	seen := make(map[Answer]bool, len(answers))
	for i, a := range answers {
		if seen[a] {
			fields = append(fields, place(i))
		}
		seen[a] = true
	}
	if fields != nil {
		j.Query(RuleAnswerDuplicate, messageAnswerDuplicate, fields...)
	}
}
