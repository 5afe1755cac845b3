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
	case c.does("trap"): // the text is run when a signal comes, or at the end
		for n, w := range c.args {
			switch text := literal(w); {
			case text == "--":
			case n == len(c.args)-1, strings.HasPrefix(text, "-"):
				return nil // signals are reset, or listed
			default:
				return c.args[n : n+1]
			}
		}
	case c.does("ssh"):
		return c.args[runner{1, "BbcDEeFIiJLlmOopQRSWw"}.own(c.args):]
	}
	return nil
}

// hereScript returns the text of a here-document that a shell reads as its script, here or where ssh leads to. What is filled in before
// stands as the script has it.
func (c command) hereScript(redirs []*syntax.Redirect) (script string, is bool) {
	if !c.readsScript() {
		return "", false
	}
	for _, r := range redirs {
		if r.Op == syntax.Hdoc || r.Op == syntax.DashHdoc {
			return hereText(r), r.Hdoc != nil
		}
	}
	return "", false
}

// readsScript reports whether a command is a shell that reads its script from its input.
func (c command) readsScript() bool {
	switch {
	case c.does("ssh"):
		there := c.args[runner{1, "BbcDEeFIiJLlmOopQRSWw"}.own(c.args):]
		return len(there) == 0 || commandOfWords(there).readsScript() || len(there) == 1 && thatReads(there)
	case c.does("su", "runuser"):
		return len(c.script()) == 0
	case c.does("sudo"): // nothing follows that it would run
		return c.through('s', "--shell") || c.through('i', "--login")
	case !c.does(readers...):
		return false
	}
	for n := 0; n < len(c.args); n++ {
		switch word := literal(c.args[n]); {
		case !strings.HasPrefix(word, "-") || word == "-":
			return word == "-"
		case strings.HasPrefix(word, "--"):
		case strings.Contains(word, "s"):
			return true
		case strings.Contains(word, "c"):
			return false
		case strings.HasSuffix(word, "o"):
			n++
		}
	}
	return true
}

// thatReads reports whether a text that another shell runs is a single command that reads its script from its input.
func thatReads(text []*syntax.Word) bool {
	script, known := said(text)
	if !known {
		return false
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(script), "")
	return err == nil && len(file.Stmts) == 1 && commandOf(file.Stmts[0]).readsScript()
}

// fed returns the text that a statement prints for a shell behind it in a pipe to read: that of a here-document, or the words of an echo.
func fed(s *syntax.Stmt) (script string, is bool) {
	c := commandOf(s)
	switch {
	case c.does("cat") && (len(c.args) == 0 || len(c.args) == 1 && c.argument("-")):
		for _, r := range s.Redirs {
			if r.Op == syntax.Hdoc || r.Op == syntax.DashHdoc {
				return hereText(r), r.Hdoc != nil
			}
		}
	case c.does("echo"):
		return said(c.args)
	}
	return "", false
}

// hereText returns a here-document as the shell hands it on, but for what it would fill in.
func hereText(r *syntax.Redirect) string {
	if r.Hdoc == nil {
		return ""
	}
	plain := len(r.Word.Parts) == 1 && literal(r.Word) != "" // a delimiter in quotes leaves the text as it is
	if lit, is := r.Word.Parts[0].(*syntax.Lit); plain {
		plain = is && !strings.Contains(lit.Value, `\`)
	}
	var b strings.Builder
	for _, p := range r.Hdoc.Parts {
		lit, is := p.(*syntax.Lit)
		switch {
		case is && plain:
			unescape(&b, lit.Value, "$`\\\n")
		case is:
			b.WriteString(lit.Value)
		default:
			_ = syntax.NewPrinter().Print(&b, p) // a parsed part can be printed
		}
	}
	return b.String()
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
