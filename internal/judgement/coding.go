package judgement

import (
	"strings"
	"unicode"
)

// The rules of Coding, beside RuleValueMissing and those of Text.
const (
	// RuleSystemMalformed refuses a code system that is not named by a URI.
	RuleSystemMalformed = "coding.system_malformed"
	// RuleCodeMalformed refuses a code with space at its ends or control
	// characters.
	RuleCodeMalformed = "coding.code_malformed"
)

// CodingRules explains the rules of Coding.
func CodingRules() []Rule {
	return []Rule{
		Refuses(RuleSystemMalformed, "A code system is named by its URI.", "编码系统必须用 URI 表示。"),
		Refuses(RuleCodeMalformed, "A code has no space at its ends and no control character.", "编码首尾不得有空格，且不得含控制字符。"),
	}
}

// Bounds of a coding, in bytes.
const (
	MaxSystem  = 256
	MaxCode    = 128
	MaxDisplay = 512
)

// Coding is a code out of a code system.
type Coding struct{ System, Code, Display string }

// Coding holds the form of a coding; which codes a system has it does not know.
// The messages name a code system that would fit there, and what the code is.
func (c *Collector) Coding(path string, coding Coding, exampleSystem, theCode string) {
	switch {
	case coding.System == "":
		c.Refuse(RuleValueMissing, "is required: the URI of the code system", path+".system")
	case !isURI(coding.System):
		c.Refuse(RuleSystemMalformed, "must be a URI, such as "+exampleSystem+" or urn:oid:2.16.840", path+".system")
	}
	switch {
	case coding.Code == "":
		c.Refuse(RuleValueMissing, "is required: "+theCode, path+".code")
	case !isCode(coding.Code):
		c.Refuse(RuleCodeMalformed, "must have no space at its ends and no control characters", path+".code")
	}
	c.Text(path+".system", coding.System, MaxSystem)
	c.Text(path+".code", coding.Code, MaxCode)
	c.Text(path+".display", coding.Display, MaxDisplay)
}

// isURI holds text against the outline of RFC 3986: a scheme, a colon and
// something behind it, all in visible ASCII.
func isURI(text string) bool {
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok || rest == "" || scheme == "" || !isLetter(scheme[0]) {
		return false
	}
	for i := range len(scheme) {
		c := scheme[i]
		if !isLetter(c) && !(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	for i := range len(rest) {
		if rest[i] <= ' ' || rest[i] > '~' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// isCode is FHIR's rule for codes: no space at either end, and no control
// character, which somebody who compares codes would not see.
func isCode(text string) bool {
	return strings.TrimSpace(text) == text && !strings.ContainsFunc(text, unicode.IsControl)
}
