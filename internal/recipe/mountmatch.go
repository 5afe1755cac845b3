// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mountTable returns in which field of the lines that a command reads or prints a mount point is: proc(5) and findmnt(8)
// say so. It is 0 if these are no mounts.
func (c command) mountTable() (field int) {
	switch c.name {
	case "mount":
		return 3
	case "findmnt":
		return 1
	}
	for _, w := range slices.Concat(c.args, c.inputs) {
		text := literal(w)
		mounts, _ := path.Match("/proc/*/mounts", text)
		info, _ := path.Match("/proc/*/mountinfo", text)
		switch {
		case mounts, text == "/proc/mounts", text == "/etc/mtab":
			return 2
		case info:
			return 5
		}
	}
	return 0
}

// loose reports whether a command chooses lines of a mount table by what may be a part of another mount point.
func loose(c command) bool {
	field := c.mountTable()
	return field > 0 && looseIn(c, field)
}

// looseInPipe reports whether right is the first in a pipeline of mounts that chooses so. Before it is reported only once.
func looseInPipe(left []command, right command) bool {
	field := left[0].mountTable()
	if field == 0 {
		return false
	}
	return !slices.ContainsFunc(left, func(c command) bool { return looseIn(c, field) }) && looseIn(right, field)
}

// looseIn is loose for lines whose mount point is in the given field.
func looseIn(c command, field int) bool {
	switch c.name {
	case "grep", "egrep", "fgrep":
		return !c.flag('x', "--line-regexp") && !bounded(c.operand("ABCmf"))
	case "awk", "gawk", "mawk", "nawk":
		return !c.flag('f', "--file") && looseProgram(c.operand("Fv"), field)
	case "sed":
		pattern, is := address(c.operand("f"))
		return is && !bounded(pattern)
	}
	return false
}

// blanks makes one blank of what stands for one in patterns.
var blanks = strings.NewReplacer("[[:space:]]", " ", "[[:blank:]]", " ", `\\s`, " ", `\s`, " ", `\t`, " ", `[ \t]`, " ")

// ends makes one blank of a blank or the end of a line.
var ends = strings.NewReplacer("(^| )", " ", "( |^)", " ", "( |$)", " ", "($| )", " ")

// bounded reports whether a pattern begins where a line does, or has a field as a whole, with what is around it.
func bounded(pattern string) bool {
	pattern = ends.Replace(blanks.Replace(pattern))
	if end, at := strings.CutSuffix(pattern, "$"); at {
		pattern = end + " "
	}
	return strings.HasPrefix(pattern, "^") || strings.Count(pattern, " ") > 1
}

// awkToken finds the strings, comments and patterns of an awk program. Divisions look like patterns, too.
var awkToken = regexp.MustCompile(`"(?:\\.|[^"\\])*"|#[^\n]*|/(?:\\.|\[[^\]]*\]|[^/\\\n])+/`)

// awkSubject finds what a pattern is matched with, and awkCall what a pattern is only an argument of.
var (
	awkSubject = regexp.MustCompile(`(\$?\w+)\s*!?~$`)
	awkCall    = regexp.MustCompile(`\w\($|,$`)
	awkIf      = regexp.MustCompile(`\b(?:if|while)\s*\($`)
)

// looseProgram reports whether an awk program matches whole lines or their given field with an unbounded pattern.
func looseProgram(program string, field int) bool {
	for _, at := range awkToken.FindAllStringIndex(program, -1) {
		before := strings.TrimRight(program[:at[0]], " \t\n")
		token := program[at[0]:at[1]]
		if token[0] == '#' {
			continue
		}
		pattern := token[1 : len(token)-1]
		matches := strings.HasSuffix(before, "~")
		subject := awkSubject.FindStringSubmatch(before)
		switch {
		case bounded(pattern):
		case matches && (subject == nil || subject[1] != "$0" && subject[1] != "$"+strconv.Itoa(field)):
		case matches:
			return true
		case token[0] == '"', awkCall.MatchString(before) && !awkIf.MatchString(before):
		case before == "" || strings.ContainsAny(before[len(before)-1:], "(!;{}&|"):
			return true
		}
	}
	return false
}

// address returns the pattern at the beginning of a sed program that chooses lines.
func address(program string) (pattern string, is bool) {
	program = strings.TrimLeft(program, " \t\n")
	if rest, other := strings.CutPrefix(program, `\`); other {
		program = rest
	} else if !strings.HasPrefix(program, "/") {
		return "", false
	}
	if program == "" {
		return "", false
	}
	end := program[:1]
	var b strings.Builder
	for n := 1; n < len(program); n++ {
		switch {
		case program[n:n+1] == end:
			return b.String(), true
		case program[n] == '\\' && n+1 < len(program):
			b.WriteByte(program[n])
			n++
		}
		b.WriteByte(program[n])
	}
	return "", false
}
