package records

import (
	"strings"
	"unicode"

	"clinsource/internal/fault"
	"clinsource/internal/ident"
)

// MaxReason is the longest reason, in bytes.
const MaxReason = 512

// minLetters is how many letters a reason has at least; a Han character says as
// much as two letters.
const minLetters = 3

// emptyReasons are words that fill a required field and give no reason, folded as
// words folds them.
var emptyReasons = map[string]bool{
	"na": true, "not applicable": true, "none": true, "nil": true, "null": true, "nothing": true, "no reason": true, "reason": true,
	"no": true, "yes": true, "unknown": true, "tbd": true, "todo": true, "test": true, "testing": true, "tests": true, "asdf": true,
	"qwerty": true, "abc": true, "foo": true, "bar": true, "blah": true, "change": true, "changed": true, "update": true, "updated": true,
	"undefined": true, "string": true, "text": true, "other": true,
	"没有": true, "没有原因": true, "无原因": true, "不适用": true, "测试": true, "原因": true, "不知道": true, "其他": true,
}

// CheckReason adds what is wrong with the reason of a correction. Whoever reads
// the record later, an inspector first, must learn why it changed.
func CheckReason(check *ident.Checker, reason string) {
	const field = "reason"
	before := len(*check)
	check.Text(field, reason, MaxReason)
	folded := words(reason)
	switch {
	case len(*check) > before:
	case strings.TrimSpace(reason) == "":
		*check = append(*check, fault.Violation{Field: field, Rule: "reason.required", Message: "is required: say in words why the record is corrected"})
	case weight(folded) < minLetters || emptyReasons[folded] || isOneLetter(folded):
		*check = append(*check, fault.Violation{Field: field, Rule: "reason.meaningless",
			Message: "must say why the record is corrected, in at least 3 letters; n/a, none, test and the like say nothing"})
	}
}

// words folds a text to what it says: its letters and digits in lower case, with
// one space where there were spaces. "N/A." and "n a" are both no reason.
func words(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		case unicode.IsSpace(r):
			return ' '
		}
		return -1
	}, text)
	if fields := strings.Fields(text); len(strings.Join(fields, "")) > 2 {
		return strings.Join(fields, " ")
	} else {
		return strings.Join(fields, "")
	}
}

func weight(text string) (n int) {
	for _, r := range text {
		switch {
		case unicode.Is(unicode.Han, r):
			n += 2
		case unicode.IsLetter(r):
			n++
		}
	}
	return n
}

// isOneLetter says whether a text is one character over and over: xxx, aaaa.
func isOneLetter(text string) bool {
	text = strings.ReplaceAll(text, " ", "")
	for i, r := range text {
		if i > 0 && !strings.HasPrefix(text, string(r)) {
			return false
		}
	}
	return true
}
