// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// ShellQuote returns s as one shell word in pure ASCII. Jenkins writes scripts in the agent's own character set, so a
// byte outside ASCII would not arrive.
func ShellQuote(s string) string {
	var b strings.Builder
	for s != "" {
		n := strings.IndexFunc(s, foreign)
		if n < 0 {
			n = len(s)
		}
		if n > 0 {
			b.WriteString("'" + strings.ReplaceAll(s[:n], "'", `'\''`) + "'")
			s = s[n:]
			continue
		}
		b.WriteString(`"$(printf '`)
		for s != "" && foreign(rune(s[0])) {
			fmt.Fprintf(&b, `\%03o`, s[0])
			s = s[1:]
		}
		b.WriteString(`')"`)
	}
	if b.Len() == 0 {
		return "''"
	}
	return b.String()
}

// foreign reports whether r has no place in a program: anything but printable ASCII, tabs and line ends.
func foreign(r rune) bool { return (r < ' ' && r != '\t' && r != '\n') || r > '~' }

// jsonQuote returns s as a JSON string in pure ASCII.
func jsonQuote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}

// quoteAll returns words as shell words.
func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = ShellQuote(w)
	}
	return strings.Join(quoted, " ")
}
