// SPDX-License-Identifier: Apache-2.0

package labelexpr

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokAtom
	tokAnd
	tokOr
	tokNot
	tokImplies
	tokIff
	tokOpen
	tokClose
)

// token is one word of an expression. name is the label of an atom, already unquoted.
type token struct {
	kind   tokenKind
	name   string
	offset int
}

// operators are tried in order; none is a prefix of a later one.
var operators = []struct {
	text string
	kind tokenKind
}{
	{"&&", tokAnd},
	{"||", tokOr},
	{"<->", tokIff},
	{"->", tokImplies},
	{"!", tokNot},
	{"(", tokOpen},
	{")", tokClose},
}

// lexer cuts an expression into tokens. All characters with a meaning are ASCII, so it works on bytes.
type lexer struct {
	text string
	pos  int
}

func (l *lexer) next() (token, error) {
	for l.pos < len(l.text) && (l.text[l.pos] == ' ' || l.text[l.pos] == '\t') {
		l.pos++
	}
	start := l.pos
	rest := l.text[start:]
	if rest == "" {
		return token{kind: tokEnd, offset: start}, nil
	}
	for _, o := range operators {
		if strings.HasPrefix(rest, o.text) {
			l.pos += len(o.text)
			return token{kind: o.kind, offset: start}, nil
		}
	}
	if rest[0] == '"' {
		return l.quoted()
	}
	n := atomLen(rest)
	if n == 0 {
		return token{}, &SyntaxError{Offset: start, Msg: strayCharacter(rest)}
	}
	l.pos += n
	return token{kind: tokAtom, name: rest[:n], offset: start}, nil
}

// atomLen returns the length of the unquoted atom at the start of s, 0 if there is none.
func atomLen(s string) int {
	for i := range len(s) {
		switch {
		case strings.IndexByte("&|!<>()\"' \t", s[i]) >= 0:
			return i
		case strings.HasPrefix(s[i:], "->"):
			return i
		}
	}
	return len(s)
}

// strayCharacter explains why nothing can start with s.
func strayCharacter(s string) string {
	switch s[0] {
	case '&':
		return `single "&": write "&&"`
	case '|':
		return `single "|": write "||"`
	case '<':
		return `single "<": write "<->"`
	case '\'':
		return "single quote: put such labels into double quotes"
	}
	r, _ := utf8.DecodeRuneInString(s)
	return fmt.Sprintf("unexpected %q", r)
}

// quoted reads a string; the current byte is its opening quote.
func (l *lexer) quoted() (token, error) {
	start := l.pos
	var name strings.Builder
	for i := start + 1; i < len(l.text); i++ {
		switch c := l.text[i]; c {
		case '"':
			l.pos = i + 1
			return token{kind: tokAtom, name: name.String(), offset: start}, nil
		case '\r', '\n':
			return token{}, &SyntaxError{Offset: i, Msg: `line break in quotes: write \n`}
		case '\\':
			i++
			if i == len(l.text) {
				break
			}
			decoded, known := unescape(l.text[i])
			if !known {
				return token{}, &SyntaxError{Offset: i - 1, Msg: `unknown escape: only \b \t \n \f \r \" \' \\ exist`}
			}
			name.WriteByte(decoded)
		default:
			name.WriteByte(c)
		}
	}
	return token{}, &SyntaxError{Offset: start, Msg: "quote without an end"}
}

// unescape returns what a backslash and c stand for in a string.
func unescape(c byte) (decoded byte, known bool) {
	switch c {
	case 'b':
		return '\b', true
	case 't':
		return '\t', true
	case 'n':
		return '\n', true
	case 'f':
		return '\f', true
	case 'r':
		return '\r', true
	case '"', '\'', '\\':
		return c, true
	}
	return c, false
}
