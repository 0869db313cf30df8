package judgement

import (
	"strconv"
	"unicode/utf8"
)

// The rules of Text.
const (
	// RuleTextTooLong refuses texts over their bound.
	RuleTextTooLong = "text.too_long"
	// RuleTextNotUTF8 refuses texts that are not UTF-8.
	RuleTextNotUTF8 = "text.not_utf8"
)

// TextRules explains the rules of Text.
func TextRules() []Rule {
	return []Rule{
		Refuses(RuleTextTooLong, "A text keeps within its bound in bytes.", "文本不得超过规定的字节数。"),
		Refuses(RuleTextNotUTF8, "A text is UTF-8.", "文本必须是 UTF-8 编码。"),
	}
}

// Text holds a text, at most longest bytes of UTF-8.
func (c *Collector) Text(field, text string, longest int) {
	if !utf8.ValidString(text) {
		c.Refuse(RuleTextNotUTF8, "must be UTF-8", field)
	}
	if len(text) > longest {
		c.Refuse(RuleTextTooLong, "must have at most "+strconv.Itoa(longest)+" bytes; shorten it", field)
	}
}
