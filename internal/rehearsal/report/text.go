// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// narrowest is the least width of a line that text is folded to.
const narrowest = 40

// mostShown bounds the lines about one case in a terminal; the other forms have them all.
const mostShown = 20

// Text returns r for a terminal of width columns. It holds no control characters, whatever the machine has said.
func Text(r Report, width int) string {
	t := &page{width: max(width, narrowest)}
	t.line("", fmt.Sprintf("rehearsal %s of %s: %s", r.ID, r.Recipe, strings.ToUpper(string(r.Verdict))))
	t.line("  ", fmt.Sprintf("%s, %s, of it %s overhead; controller: %s", r.StartedAt.UTC().Format(time.DateTime+" UTC"), short(r.Duration), short(r.Overhead), r.Controller))
	for _, gap := range r.Gaps {
		t.line("  - ", "not covered: "+gap)
	}
	for _, a := range r.Agents {
		t.line("", "")
		t.line("", fmt.Sprintf("agent %s: %s", a.Name, a.Verdict))
		t.line("  ", strings.Join(present("pool "+a.Pool, a.OS, a.Arch, a.Profile), ", "))
		for _, c := range a.Cases {
			t.line("  ", fmt.Sprintf("%-7s %-30s %-9s %7s", c.Verdict, c.Name, c.Outcome, short(c.Duration)))
			t.list("      - ", c.complaints())
		}
		switch {
		case !a.Compared:
			t.line("  ", "its end state was not compared")
		case len(a.Differences) == 0:
			t.line("  ", "its end state is that of "+a.Against.String())
		default:
			t.line("  ", fmt.Sprintf("its end state differs from that of %s in %d:", a.Against, len(a.Differences)))
			t.list("      - ", a.differences())
		}
	}
	return t.text.String()
}

func present(words ...string) []string {
	var all []string
	for _, w := range words {
		if strings.TrimSpace(w) != "" && w != "pool " {
			all = append(all, w)
		}
	}
	return all
}

// short is a duration for people: to a tenth of a second under a minute, else to a second.
func short(d time.Duration) string {
	if d < time.Minute {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

type page struct {
	text  strings.Builder
	width int
}

func (p *page) list(mark string, lines []string) {
	for i, l := range lines {
		if i == mostShown {
			p.line(mark, fmt.Sprintf("and %d more", len(lines)-i))
			return
		}
		p.line(mark, l)
	}
}

// line writes text after mark, folded at spaces, and in the middle of what is longer than a line.
func (p *page) line(mark, text string) {
	text = strings.TrimRight(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, strings.NewReplacer("\n", " ", "\t", " ").Replace(text)), " ")
	room := p.width - utf8.RuneCountInString(mark)
	for {
		head, rest := cut(text, room)
		p.text.WriteString(strings.TrimRight(mark+head, " ") + "\n")
		if rest == "" {
			return
		}
		mark, text = strings.Repeat(" ", utf8.RuneCountInString(mark)), rest
	}
}

// cut returns what of s fits into room characters, and the rest.
func cut(s string, room int) (head, rest string) {
	r := []rune(s)
	if len(r) <= room {
		return s, ""
	}
	for i := room; i > room/2; i-- {
		if r[i] == ' ' {
			return string(r[:i]), strings.TrimLeft(string(r[i:]), " ")
		}
	}
	return string(r[:room]), string(r[room:])
}
