// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one thing wrong with a configuration file.
type Problem struct {
	File         string
	Line, Column int    // from 1; 0 if the problem has no place
	Path         string // of the setting, such as pools[0].agents; empty for the whole file
	Msg          string
	Excerpt      string // the line and a mark under the column, secrets masked; empty if there is no place
}

// String returns the problem on one line, without the excerpt.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	b.WriteString(": " + p.Msg)
	return b.String()
}

// Error is everything wrong with a configuration file, in the order of the file.
type Error struct {
	Problems []Problem // never empty

	read *Config // what could be read
}

// apart are the sections that say nothing of how the daemon is reached.
var apart = []string{"log", "labels", "controllers", "recipes", "pools", "notifications", "retention"}

// Access returns a configuration of which only Data and API count: what the file says of how to reach a daemon that
// runs on with what it read before. It is nil if a mistake could concern that, as one in the syntax does.
func (e *Error) Access() *Config {
	for _, p := range e.Problems {
		section, _, _ := strings.Cut(p.Path, ".")
		section, _, _ = strings.Cut(section, "[")
		if !slices.Contains(apart, section) {
			return nil
		}
	}
	return e.read
}

// Error returns one paragraph per problem, with its excerpt.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
		if p.Excerpt != "" {
			b.WriteByte('\n')
			b.WriteString(p.Excerpt)
		}
	}
	return b.String()
}

// place is where something stands in the file, from 1.
type place struct{ line, column int }

// source is the text of a file, to quote from.
type source struct {
	file  string
	lines []string
	masks map[int]int // line to the column from which on it must not be quoted
}

// newSource cuts text, whose line breaks are line feeds, into lines. It masks the lines that continue the value of a
// setting that sounds like a secret: a text that is no YAML has no syntax tree to tell them by.
func newSource(file string, text []byte) *source {
	s := &source{file: file, lines: strings.Split(string(text), "\n"), masks: map[int]int{}}
	secretIndent := -1 // of the setting whose value may go on
	for i, line := range s.lines {
		content := strings.TrimLeft(line, " \t-")
		indent := len(line) - len(content)
		switch {
		case content == "":
		case secretIndent >= 0 && indent > secretIndent:
			s.mask(place{i + 1, 1})
		case secretKey.MatchString(content):
			secretIndent = indent
		default:
			secretIndent = -1
		}
	}
	return s
}

// mask keeps what starts at p, to the end of the line, out of every excerpt.
func (s *source) mask(p place) {
	if column, ok := s.masks[p.line]; !ok || p.column < column {
		s.masks[p.line] = p.column
	}
}

// foreign returns the first line that is in no encoding of ours.
func (s *source) foreign() place {
	for i, line := range s.lines {
		if !utf8.ValidString(line) || strings.ContainsRune(line, 0) {
			return place{i + 1, 1}
		}
	}
	return place{}
}

// tabbed reports whether a line has a tab in its indentation.
func (s *source) tabbed(line int) bool {
	if line < 1 || line > len(s.lines) {
		return false
	}
	text := s.lines[line-1]
	return strings.Contains(text[:len(text)-len(strings.TrimLeft(text, " \t"))], "\t")
}

// problem makes a problem at p. Some places that the parser gives are behind the end of the text.
func (s *source) problem(p place, path, msg string) Problem {
	return Problem{File: s.file, Line: min(p.line, len(s.lines)), Column: p.column, Path: path, Msg: msg}
}

// maxProblems bounds what is reported: nobody reads more, and a file of a program that went wrong has many more.
const maxProblems = 100

// findings collects problems in the order they are found.
type findings struct {
	problems []Problem
	paths    map[string]bool // that have a problem
	dropped  int
}

func (f *findings) add(p Problem) {
	if len(f.problems) >= maxProblems {
		f.dropped++
		return
	}
	if f.paths == nil {
		f.paths = map[string]bool{}
	}
	f.paths[p.Path] = true
	f.problems = append(f.problems, p)
}

// finish sorts the problems and adds the excerpts: only now are all masks known.
func (s *source) finish(found findings) []Problem {
	problems := found.problems
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	for i, p := range problems {
		problems[i].Excerpt = s.excerpt(place{p.Line, p.Column})
	}
	if found.dropped > 0 {
		problems = append(problems, Problem{File: s.file, Msg: fmt.Sprintf("and %d more", found.dropped)})
	}
	return problems
}

// secretKey finds a setting that sounds like a secret; secretLike its value too, also where the text is no valid YAML.
var (
	secretKey  = regexp.MustCompile(`(?i)(?:token|password|secret|passphrase|credential|key)[a-z]*["']?\s*:`)
	secretLike = regexp.MustCompile(`(` + secretKey.String() + `\s*)["']?(\S[^,}]*)`)
)

// reference finds values that are references, hence no secrets.
var reference = regexp.MustCompile(`^(?:env|file|credential|exec):`)

const maskText = "***"

// excerpt quotes the line of p with a mark under its column.
func (s *source) excerpt(p place) string {
	if p.line < 1 || p.line > len(s.lines) {
		return ""
	}
	line := strings.ToValidUTF8(strings.TrimSuffix(s.lines[p.line-1], "\r"), "\uFFFD")
	if column, masked := s.masks[p.line]; masked {
		line = cut(line, column) + maskText
	}
	line = secretLike.ReplaceAllStringFunc(line, maskPlain)
	line = printable(line)
	number := fmt.Sprintf("%4d | ", p.line)
	lead := min(p.column-1, utf8.RuneCountInString(line))
	return number + line + "\n" + strings.Repeat(" ", len(number)-2) + "| " + strings.Repeat(" ", max(lead, 0)) + "^"
}

func maskPlain(match string) string {
	parts := secretLike.FindStringSubmatch(match)
	if reference.MatchString(parts[2]) {
		return match
	}
	return parts[1] + maskText
}

// cut returns what stands before the column.
func cut(line string, column int) string {
	runes := []rune(line)
	return string(runes[:max(0, min(column-1, len(runes)))])
}

// printable keeps control characters away from the terminal; every character stays one column wide.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, line)
}
