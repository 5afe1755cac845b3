// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// script is the text of a step on its way into the recipe, with what problems in it are reported by.
type script struct {
	text        string
	interpreter []string
	path        string // YAML path
	file        string // the file it came from, "" if it stands in the recipe
	at          locator
}

// locator translates a line and column of a script into one of the file it stands in.
type locator func(line, column int) (int, int)

func here(line, column int) (int, int) { return line, column }

// inline returns the locator of a script that is written in the recipe as n. Lines of a literal block keep their
// order, so that a problem can be shown at its very place; other notations can be shown at their beginning only.
func (d *document) inline(n ast.Node) locator {
	line, column := position(n)
	literal, ok := n.(*ast.LiteralNode)
	if !ok || !strings.HasPrefix(literal.Start.Value, "|") {
		return func(int, int) (int, int) { return line, column }
	}
	indent := d.indent(line+1, literal.Value.Value)
	return func(l, c int) (int, int) { return line + l, indent + c }
}

// indent returns how far the block that begins on line is indented, given its text.
func (d *document) indent(line int, text string) int {
	for i, want := range strings.Split(text, "\n") {
		if want != "" && line-1+i < len(d.lines) {
			return max(0, len(strings.TrimRight(d.lines[line-1+i], "\r"))-len(want))
		}
	}
	return 0
}

func (d *decoder) runScript(path string, n ast.Node) *script {
	text, ok := d.text(path, n)
	if !ok {
		return nil
	}
	if strings.TrimSpace(text) == "" {
		d.fail(n, path, "the script is empty")
		return nil
	}
	return &script{text: terminated(text), path: path, at: d.inline(n)}
}

func (d *decoder) fileScript(path string, n ast.Node) *script {
	f, ok := d.carried(path, n)
	if !ok {
		return nil
	}
	if len(bytes.TrimSpace(f.Content)) == 0 {
		d.fail(n, path, "%s is empty", f.Path)
		return nil
	}
	return &script{text: terminated(string(f.Content)), path: path, file: f.Path, at: here}
}

func terminated(text string) string {
	if strings.HasSuffix(text, "\n") {
		return text
	}
	return text + "\n"
}

// files reads the list of files that a step carries.
func (d *decoder) files(path string, n ast.Node) []File {
	var all []File
	d.list(path, n, func(path string, n ast.Node) {
		f, ok := d.carried(path, n)
		switch {
		case !ok:
		case slices.ContainsFunc(all, func(o File) bool { return o.Path == f.Path }):
			d.fail(n, path, "%s is there twice", f.Path)
		default:
			all = append(all, f)
		}
	})
	return all
}

// carried reads the file that n names.
func (d *decoder) carried(where string, n ast.Node) (File, bool) {
	name, ok := d.relative(where, n)
	if !ok {
		return File{}, false
	}
	f, err := d.open(path.Join(d.dir(), name))
	if err != nil {
		d.fail(n, where, "%s: %s", name, err)
		return File{}, false
	}
	f.Path = name
	return f, true
}

// relative reads the path of a file, relative to the current one, and cleans it.
func (d *decoder) relative(where string, n ast.Node) (name string, ok bool) {
	name, ok = d.text(where, n)
	if !ok {
		return "", false
	}
	clean := path.Clean(name)
	switch {
	case name == "" || path.IsAbs(name) || clean == "." || strings.ContainsAny(name, "\\\x00\n\r"):
		d.fail(n, where, "%q is no file: want a path relative to the recipe, with slashes", name)
		return "", false
	case clean == ".." || strings.HasPrefix(clean, "../"):
		d.fail(n, where, "%s leads out of the recipe's directory", name)
		return "", false
	}
	return clean, true
}

// interpreterOf returns the interpreter that the "#!" line of text asks for, sh if there is none.
func interpreterOf(text string) []string {
	first, _, _ := strings.Cut(text, "\n")
	line, ok := strings.CutPrefix(first, "#!")
	if !ok {
		return []string{"sh"}
	}
	words := strings.Fields(line)
	if len(words) > 1 && path.Base(words[0]) == "env" {
		words = words[1:]
		if words[0] == "-S" { // the kernel hands the rest over as one word, which this has env split
			words = words[1:]
		}
	}
	if len(words) == 0 {
		return []string{"sh"}
	}
	if path.Base(words[0]) == "sh" {
		words[0] = "sh"
	}
	return words
}

// characters checks the characters of a whole recipe; what it refuses could not be shown, or not survive Jenkins.
func (d *document) characters(data []byte) bool {
	before := len(d.problems)
	returns := false // one says it for all lines
	for i, line := range d.lines {
		switch at := badCharacter(line); {
		case at < 0:
		case line[at] == '\r' && returns:
		case line[at] == '\r':
			returns = true
			d.failAt(i+1, at+1, "", "carriage return: Jenkins drops it; save the file with plain line ends")
		default:
			r, _ := utf8.DecodeRuneInString(line[at:])
			d.failAt(i+1, at+1, "", "control character %U: Jenkins' XML cannot hold it", r)
		}
		if len(d.problems) >= before+20 {
			break
		}
	}
	if !utf8.Valid(data) && len(d.problems) == before {
		d.failAt(0, 0, "", "the file is not UTF-8")
	}
	return len(d.problems) == before
}

// badCharacter returns the offset of the first character of line that does not survive a job's config.xml, or -1: control
// characters other than a tab, and the line separator, which XML 1.1 takes for a line end as it does U+0085.
func badCharacter(line string) int {
	return strings.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f && r <= 0x9f || r == 0x2028 })
}

// failScript notes a problem at a line and column of script s.
func (d *document) failScript(s script, line, column int, format string, args ...any) {
	if s.file == "" {
		line, column = s.at(line, column)
		d.failAt(line, column, s.path, format, args...)
		return
	}
	other := document{source: newSource("", path.Join(path.Dir(d.file), s.file), []byte(s.text))}
	other.failAt(line, column, s.path, format, args...)
	d.problems = append(d.problems, other.problems...)
}
