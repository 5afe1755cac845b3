// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with a recipe.
type Problem struct {
	// File is the file the problem is in: the recipe, or a script it carries.
	File string
	// Line and Column count from 1; both are 0 if the problem is about the file as a whole.
	Line, Column int
	// Path is the YAML path of what is wrong, as in "$.clean[2].timeout"; it is empty for a file that is no YAML.
	Path string
	Msg  string
	// Excerpt is the line in question with a caret below the column, or empty.
	Excerpt string
	Unread  bool // the recipe itself cannot be read: nothing of it was checked
}

// String returns the problem on one line, without the excerpt.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Msg)
	return b.String()
}

// Problems is the error of a recipe that cannot be used: everything that is wrong with it, in the order of the file.
type Problems []Problem

// Error returns all problems, one to a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// sort puts the problems of file first, the recipe's own, and those of each file in the order of its lines.
func (ps Problems) sort(file string) {
	rank := func(p Problem) string {
		if p.File == file {
			return ""
		}
		return p.File
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// excerpt returns line number n of lines with a caret below column c, both counted from 1.
func excerpt(lines []string, n, c int) string {
	if n < 1 || n > len(lines) {
		return ""
	}
	const widest = 160
	line := strings.TrimRight(lines[n-1], "\r")
	if len(line) > widest || c > widest {
		return ""
	}
	prefix := fmt.Sprintf("%4d | ", n)
	caret := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, line[:min(max(c-1, 0), len(line))])
	return prefix + line + "\n" + strings.Repeat(" ", len(prefix)) + caret + "^"
}
