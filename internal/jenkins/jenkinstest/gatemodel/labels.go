// SPDX-License-Identifier: Apache-2.0

package gatemodel

import (
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// blanks are what Jenkins cuts a label string at.
const blanks = " \t\r\n"

// labelled reads the node's own text: what Jenkins caches of labels lags behind.
func labelled(n Node, label string) bool {
	return slices.Contains(labelexpr.Tokens(n.LabelString()), label)
}

// edited is a label string with some labels taken out and others put to its end. All else stays as it is.
func edited(text string, off, on []string) string {
	have := labelexpr.Tokens(text)
	for _, label := range off {
		if slices.Contains(have, label) {
			text = without(text, label)
		}
	}
	for _, label := range on {
		switch {
		case slices.Contains(have, label):
		case text == "" || strings.HasSuffix(text, " "):
			text += label
		default:
			text += " " + label
		}
	}
	return text
}

// without takes a label out, with the blanks before it.
func without(text, label string) string {
	var kept strings.Builder
	for text != "" {
		begin := len(text) - len(strings.TrimLeft(text, blanks))
		end := begin + wordEnd(text[begin:])
		if labels := labelexpr.Tokens(text[begin:end]); len(labels) != 1 || labels[0] != label {
			kept.WriteString(text[:end])
		}
		text = text[end:]
	}
	return strings.TrimLeft(kept.String(), blanks)
}

// wordEnd is where the word ends that the text begins with: at a blank outside of quotes. A backslash makes the next
// character an ordinary one, unless it is the first of the word.
func wordEnd(text string) int {
	var quote byte
	escaped := false
	for i := range len(text) {
		c := text[i]
		switch {
		case escaped:
			escaped = false
		case c == '\\' && i > 0:
			escaped = true
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case strings.IndexByte(blanks, c) >= 0:
			return i
		}
	}
	return len(text)
}

// consume takes clean off a used agent by the least there is to it: its file is written and the label's own cache is
// emptied. What else is cached is corrected by the veto.
func (g *Gate) consume(n Node) {
	n.SetLabelString(edited(n.LabelString(), []string{g.Clean}, nil))
	if err := n.Save(); err != nil {
		g.failed++
		g.tell("unsaved", n.Name(), field{"why", err.Error()})
	}
	g.jenkins.ForgetLabel(g.Clean)
}

// write changes labels with all caches right afterwards. If the node's file cannot be written they stay as they were.
func (g *Gate) write(n Node, off, on []string) error {
	before := n.LabelString()
	after := edited(before, off, on)
	if after == before {
		return nil
	}
	n.SetLabelString(after)
	err := g.jenkins.Update(n)
	if err != nil {
		n.SetLabelString(before)
	}
	// Before 2.507 the labels that a node has lost are left in the cache.
	g.jenkins.ForgetLabel(g.Clean)
	g.jenkins.ForgetLabel(g.Dirty)
	return err
}
