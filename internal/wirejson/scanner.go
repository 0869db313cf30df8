package wirejson

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads JSON tokens. The first syntax error stops it for good: problem
// then says what and pos where.
type scanner struct {
	data    []byte
	pos     int
	depth   int
	values  int // keys and elements so far
	limit   int // of values
	rule    string
	problem string
}

// stop ends the scan; what follows cannot be trusted to be what it looks like.
func (s *scanner) stop(rule, problem string) bool {
	if s.problem == "" {
		s.rule, s.problem = rule, problem
	}
	return false
}

func (s *scanner) malformed(expected string) bool {
	if s.pos >= len(s.data) {
		return s.stop("body.malformed", "the body ends where "+expected+" is expected")
	}
	return s.stop("body.malformed", expected+" is expected")
}

// peek gives the next byte that is not a space, 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// open enters an object or array at its bracket, close leaves it.
func (s *scanner) open() bool {
	s.pos++
	if s.depth++; s.depth > MaxDepth {
		return s.stop("body.too_deep", "more than "+strconv.Itoa(MaxDepth)+" levels of objects and arrays")
	}
	return true
}

func (s *scanner) close() {
	s.pos++
	s.depth--
}

// count takes note of one more key or element.
func (s *scanner) count() bool {
	if s.values++; s.values > s.limit {
		return s.stop("body.too_large", "more than "+strconv.Itoa(s.limit)+" keys and array elements; send the data in several requests")
	}
	return true
}

// next moves to the next item of an object or array that ends with end; more is
// false after the last one, and also when the scan stopped: ok tells.
func (s *scanner) next(first bool, end byte) (more, ok bool) {
	switch c := s.peek(); {
	case c == end:
		s.close()
		return false, true
	case first:
	case c == ',':
		s.pos++
		s.peek()
	default:
		return false, s.malformed("a comma or " + string(rune(end)))
	}
	ok = s.count()
	return ok, ok
}

// key reads a key and its colon. The bytes hold until the next read.
func (s *scanner) key() ([]byte, bool) {
	if s.peek() != '"' {
		return nil, s.malformed("a key in double quotes")
	}
	key, ok := s.text()
	if !ok {
		return nil, false
	}
	if s.peek() != ':' {
		return nil, s.malformed("a colon")
	}
	s.pos++
	return key, true
}

// text reads a string at its quote. Without escapes the result lies in the body.
func (s *scanner) text() ([]byte, bool) {
	s.pos++
	start := s.pos
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return s.data[start : s.pos-1], true
		case c == '\\':
			return s.escapedText(start)
		case c < ' ':
			return nil, s.stop("body.malformed", "a control character inside a string must be escaped")
		}
		s.pos++
	}
	return nil, s.malformed("a closing quote")
}

func (s *scanner) escapedText(start int) ([]byte, bool) {
	out := append(make([]byte, 0, 2*(s.pos-start)+16), s.data[start:s.pos]...)
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		switch {
		case c == '"':
			s.pos++
			return out, true
		case c < ' ':
			return nil, s.stop("body.malformed", "a control character inside a string must be escaped")
		case c == '\\':
			r, ok := s.escape()
			if !ok {
				return nil, false
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
			s.pos++
		}
	}
	return nil, s.malformed("a closing quote")
}

// escape reads one escape at its backslash. Half a surrogate pair is refused:
// no UTF-8 text can hold it, and a replacement would not be what was sent.
func (s *scanner) escape() (rune, bool) {
	if s.pos+1 >= len(s.data) {
		s.pos = len(s.data)
		return 0, s.malformed("an escape")
	}
	switch c := s.data[s.pos+1]; c {
	case '"', '\\', '/':
		s.pos += 2
		return rune(c), true
	case 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return rune("\b\f\n\r\t"[strings.IndexByte("bfnrt", c)]), true
	case 'u':
		r, ok := s.unit()
		if !ok || !utf16.IsSurrogate(r) {
			return r, ok
		}
		if low, ok := s.unit(); ok {
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				return r, true
			}
		}
		return 0, s.stop("body.malformed", "half a surrogate pair in an escape")
	default:
		return 0, s.stop("body.malformed", "an unknown escape in a string")
	}
}

// unit reads the four hexadecimal digits of a \u escape.
func (s *scanner) unit() (rune, bool) {
	if s.pos+6 > len(s.data) || s.data[s.pos] != '\\' || s.data[s.pos+1] != 'u' {
		return 0, s.stop("body.malformed", `\u and four hexadecimal digits are expected`)
	}
	n := rune(0)
	for _, c := range s.data[s.pos+2 : s.pos+6] {
		digit, ok := hexDigit(c)
		if !ok {
			return 0, s.stop("body.malformed", `\u and four hexadecimal digits are expected`)
		}
		n = n<<4 | digit
	}
	s.pos += 6
	return n, true
}

func hexDigit(c byte) (rune, bool) {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0'), true
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10, true
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10, true
	default:
		return 0, false
	}
}

// number reads a JSON number; whole says that it has neither point nor exponent.
func (s *scanner) number() (literal []byte, whole, ok bool) {
	start := s.pos
	if s.data[s.pos] == '-' {
		s.pos++
	}
	lead := s.pos
	if !s.digits() {
		return nil, false, s.malformed("a JSON value")
	}
	if s.data[lead] == '0' && s.pos > lead+1 {
		s.pos = lead
		return nil, false, s.stop("body.malformed", "a number has no leading zeros")
	}
	whole = true
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		whole = false
		if s.pos++; !s.digits() {
			return nil, false, s.malformed("a digit")
		}
	}
	if s.pos < len(s.data) && s.data[s.pos]|0x20 == 'e' {
		whole = false
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		if !s.digits() {
			return nil, false, s.malformed("a digit")
		}
	}
	return s.data[start:s.pos], whole, true
}

// digits skips a run of at least one digit.
func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

// word reads true, false or null.
func (s *scanner) word(w string) bool {
	if end := s.pos + len(w); end <= len(s.data) && string(s.data[s.pos:end]) == w {
		s.pos = end
		return true
	}
	return s.malformed("a JSON value")
}

// skip reads one value of any type that nobody wants, under the same grammar
// and bounds.
func (s *scanner) skip() bool {
	switch s.peek() {
	case '{', '[':
		return s.skipItems()
	case '"':
		_, ok := s.text()
		return ok
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	case 0:
		return s.malformed("a JSON value")
	default:
		_, _, ok := s.number()
		return ok
	}
}

func (s *scanner) skipItems() bool {
	object := s.data[s.pos] == '{'
	end := byte(']')
	if object {
		end = '}'
	}
	if !s.open() {
		return false
	}
	for first := true; ; first = false {
		more, ok := s.next(first, end)
		if !more {
			return ok
		}
		if object {
			if _, ok := s.key(); !ok {
				return false
			}
		}
		if !s.skip() {
			return false
		}
	}
}

// place gives line and column of pos, both from 1, the column in characters.
func (s *scanner) place() string {
	line, start := 1, 0
	pos := min(s.pos, len(s.data))
	for i, c := range s.data[:pos] {
		if c == '\n' {
			line, start = line+1, i+1
		}
	}
	return "line " + strconv.Itoa(line) + ", column " + strconv.Itoa(utf8.RuneCount(s.data[start:pos])+1)
}
