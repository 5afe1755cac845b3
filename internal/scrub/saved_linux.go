// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"slices"
	"strings"
)

// savedTable is a table as iptables-save prints it.
type savedTable struct {
	name   string
	chains []string // those that somebody made
	rules  []savedRule
}

// savedRule is a line that adds a rule.
type savedRule struct {
	chain  string
	text   string // what comes behind the chain, in the quoting of the program
	target string // the chain that it jumps to, "" if that is not certain
}

// parseSaved reads what iptables-save prints. Lines that are none of a table's are passed over.
func parseSaved(text string) []savedTable {
	var all []savedTable
	var t *savedTable
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "*"):
			all = append(all, savedTable{name: line[1:]})
			t = &all[len(all)-1]
		case t == nil:
		case line == "COMMIT":
			t = nil
		case strings.HasPrefix(line, ":"):
			if fields := strings.Fields(line[1:]); len(fields) >= 2 && fields[1] == "-" { // others have a policy: they are built in
				t.chains = append(t.chains, fields[0])
			}
		case strings.HasPrefix(line, "-A "):
			chain, text, _ := strings.Cut(line[len("-A "):], " ")
			t.rules = append(t.rules, savedRule{chain, text, targetOf(text)})
		}
	}
	return all
}

// targetOf returns the chain that a rule jumps to: its last word, after the only -j or -g. A rule that has such a word as
// a comment too is not certain.
func targetOf(rule string) string {
	words := split(rule)
	is := func(word string) bool { return word == "-j" || word == "-g" }
	n := len(words)
	if n < 2 || !is(words[n-2]) || slices.ContainsFunc(words[:n-2], is) {
		return ""
	}
	return words[n-1]
}

// split splits a rule into words, which may be quoted, with backslashes before quotes and backslashes in them.
func split(rule string) []string {
	var words []string
	var word strings.Builder
	quoted, some := false, false
	for i := 0; i < len(rule); i++ {
		switch c := rule[i]; {
		case c == '\\' && quoted && i+1 < len(rule):
			i++
			word.WriteByte(rule[i])
		case c == '"':
			quoted, some = !quoted, true
		case c == ' ' && !quoted:
			if some {
				words = append(words, word.String())
			}
			word.Reset()
			some = false
		default:
			word.WriteByte(c)
			some = true
		}
	}
	if some {
		words = append(words, word.String())
	}
	return words
}

// removal is what iptables-restore is told to remove chains: the jumps to them out of others, what is in them, and them.
// It is "" if none is there.
func (t savedTable) removal(names []string) string {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(t.chains, name) })
	if len(names) == 0 {
		return ""
	}
	var b strings.Builder
	line := func(words ...string) { b.WriteString(strings.Join(words, " ") + "\n") }
	line("*" + t.name)
	for _, rule := range t.rules {
		if slices.Contains(names, rule.target) && !slices.Contains(names, rule.chain) {
			line("-D", rule.chain, rule.text)
		}
	}
	for _, verb := range []string{"-F", "-X"} {
		for _, name := range names {
			line(verb, name)
		}
	}
	line("COMMIT")
	return b.String()
}
