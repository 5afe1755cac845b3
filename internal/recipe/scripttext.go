// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// readers are the shells, which run the text after their option -c.
var readers = []string{"sh", "bash", "dash", "ash", "ksh", "zsh", "rbash"}

// script returns the words that a command has another shell read, none if it does not.
func (c command) script() []*syntax.Word {
	switch {
	case c.does(readers...):
		return c.shellText()
	case c.does("su", "runuser"):
		for n, w := range c.args[:max(len(c.args)-1, 0)] {
			text := literal(w)
			long := strings.HasPrefix(text, "--")
			if text == "--command" || text == "--session-command" || !long && strings.HasPrefix(text, "-") && strings.HasSuffix(text, "c") {
				return c.args[n+1 : n+2]
			}
		}
	case c.does("eval"):
		return c.args
	case c.does("ssh"):
		return c.args[runner{1, "BbcDEeFIiJLlmOopQRSWw"}.own(c.args):]
	}
	return nil
}

// shellText returns the first operand of a shell that has the option -c.
func (c command) shellText() []*syntax.Word {
	text := false
	for n := 0; n < len(c.args); n++ {
		word := literal(c.args[n])
		switch {
		case strings.HasPrefix(word, "--"):
		case len(word) > 1 && strings.ContainsAny(word[:1], "-+"):
			text = text || word[0] == '-' && strings.Contains(word, "c")
			if strings.HasSuffix(strings.ToLower(word), "o") {
				n++
			}
		case text:
			return c.args[n : n+1]
		default:
			return nil
		}
	}
	return nil
}

// said returns what words are when the shell has taken the quotes off, and whether that is known before it runs.
func said(words []*syntax.Word) (text string, known bool) {
	var b strings.Builder
	for n, w := range words {
		if n > 0 {
			b.WriteByte(' ')
		}
		for _, p := range w.Parts {
			switch p := p.(type) {
			case *syntax.Lit:
				unescape(&b, p.Value, "")
			case *syntax.SglQuoted:
				if p.Dollar && strings.Contains(p.Value, `\`) {
					return "", false
				}
				b.WriteString(p.Value)
			case *syntax.DblQuoted:
				for _, inner := range p.Parts {
					lit, is := inner.(*syntax.Lit)
					if !is {
						return "", false
					}
					unescape(&b, lit.Value, "$`\"\\\n")
				}
			default:
				return "", false
			}
		}
	}
	return b.String(), true
}

// unescape writes text without the backslashes that quote one of the characters in of, any one if of is empty. A quoted
// line end is not there.
func unescape(b *strings.Builder, text, of string) {
	for n := 0; n < len(text); n++ {
		if text[n] == '\\' && n+1 < len(text) && (of == "" || strings.IndexByte(of, text[n+1]) >= 0) {
			n++
			if text[n] == '\n' {
				continue
			}
		}
		b.WriteByte(text[n])
	}
}
