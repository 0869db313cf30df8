// Package ident holds the one rule for identifiers that callers choose
// (projects, sites, patients, client record ids, questionnaires): 1 to 64
// characters of A-Z, a-z, 0-9, dot, underscore and hyphen. They stand in URLs,
// so no other character is taken; "." and ".." are refused because a path
// would lose them.
package ident

import (
	"strings"
	"unicode/utf8"

	"clinsource/internal/fault"
)

// MaxLength is the longest identifier, in bytes.
const MaxLength = 64

// Valid says whether id is an identifier.
func Valid(id string) bool {
	if id == "" || len(id) > MaxLength || id == "." || id == ".." {
		return false
	}
	for i := 0; i < len(id); i++ {
		c := id[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
		if !ok {
			return false
		}
	}
	return true
}

// Rules of the violations that Checker makes.
const (
	RuleRequired  = "identifier.required"
	RuleMalformed = "identifier.malformed"
)

// Checker collects the violations of a request's identifiers.
type Checker []fault.Violation

// Required adds a violation unless id is an identifier.
func (c *Checker) Required(field, id string) {
	if id == "" {
		*c = append(*c, fault.Violation{Field: field, Rule: RuleRequired, Message: "is required"})
		return
	}
	c.Optional(field, id)
}

// Optional adds a violation unless id is empty or an identifier.
func (c *Checker) Optional(field, id string) {
	if id != "" && !Valid(id) {
		*c = append(*c, fault.Violation{Field: field, Rule: RuleMalformed,
			Message: "must be 1 to 64 of the characters A-Z a-z 0-9 . _ -"})
	}
}

// Text adds a violation if a text is longer than max bytes, or holds what
// PostgreSQL cannot store: a NUL, or bytes that are not UTF-8.
func (c *Checker) Text(field, text string, max int) {
	if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
		*c = append(*c, fault.Violation{Field: field, Rule: "text.malformed", Message: "must be UTF-8 without the character U+0000"})
		return
	}
	if len(text) > max {
		*c = append(*c, fault.Violation{Field: field, Rule: "text.too_long", Message: "is too long; shorten it"})
	}
}

// Err gives the violations as one fault, or nil.
func (c Checker) Err() error {
	if len(c) == 0 {
		return nil
	}
	return fault.InvalidFields(c)
}
