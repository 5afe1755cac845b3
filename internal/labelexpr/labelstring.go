// SPDX-License-Identifier: Apache-2.0

package labelexpr

import (
	"slices"
	"strings"
)

// Tokens returns the labels of an agent's label string, without duplicates, in order of first mention. It cuts as
// hudson.model.Label#parse does with hudson.util.QuotedStringTokenizer: at space, tab, CR and LF, except in single or
// double quotes, which may start anywhere in a label; a backslash that is not the first character of a label makes
// the next character ordinary if that is a backslash, a quote or a space, and stays otherwise. A quote that is never
// closed ends with the text.
//
// Where the controller already knows a label whose name is the whole string, Jenkins takes it as that one label. This
// cannot be seen from the string and is not imitated; it needs a label with a space in its name.
func Tokens(labelString string) []string {
	var labels []string
	t := tokenizer{text: labelString}
	for {
		label, ok := t.next()
		if !ok {
			return labels
		}
		if !slices.Contains(labels, label) {
			labels = append(labels, label)
		}
	}
}

// Join returns the label string that [Tokens] reads as tokens. Labels that need it are put into double quotes.
func Join(tokens []string) string {
	var b strings.Builder
	for i, t := range tokens {
		if i > 0 {
			b.WriteByte(' ')
		}
		if t != "" && !strings.ContainsAny(t, " \t\r\n\\\"'") {
			b.WriteString(t)
			continue
		}
		b.WriteByte('"')
		b.WriteString(labelStringEscaper.Replace(t))
		b.WriteByte('"')
	}
	return b.String()
}

var labelStringEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// tokenizer walks over a label string.
type tokenizer struct {
	text string
	pos  int
}

// next returns the next label; ok is false at the end.
func (t *tokenizer) next() (label string, ok bool) {
	for t.pos < len(t.text) && isDelimiter(t.text[t.pos]) {
		t.pos++
	}
	if t.pos == len(t.text) {
		return "", false
	}
	var b strings.Builder
	var quote byte   // the open quote, 0 outside of quotes
	start := t.pos   // of this label
	escaped := false // by a backslash just before
	for ; t.pos < len(t.text); t.pos++ {
		c := t.text[t.pos]
		switch {
		case escaped:
			escaped = false
			if strings.IndexByte(`\"' `, c) < 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		case c == '\\' && t.pos > start:
			escaped = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && isDelimiter(c):
			return b.String(), true
		default:
			b.WriteByte(c)
		}
	}
	// A quote that opens in the very last place makes no label of its own.
	return b.String(), t.pos > start+1 || quote == 0
}

func isDelimiter(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
