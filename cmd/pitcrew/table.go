// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// gap stands between two columns.
const gap = "  "

// leastLast is how much of a last column is shown, however narrow the terminal.
const leastLast = 12

// tabular renders rows below a head, without lines and within width columns: what is too long is
// cut in the last column. Width 0 cuts nothing, so that pipes get everything.
func tabular(head []string, rows [][]string, width int) string {
	w := table.NewWriter()
	w.SetStyle(tableStyle())
	w.SuppressTrailingSpaces()
	w.AppendHeader(tableRow(head))
	last := len(head) - 1
	rows = harmlessRows(rows)
	room := roomForLast(head, rows, width)
	for _, r := range rows {
		if room > 0 {
			r[last] = text.Snip(r[last], room, "…")
		}
		w.AppendRow(tableRow(r))
	}
	return w.Render() + "\n"
}

// spare cuts a column of rows as far as the least of the last column would else have no room in width columns. It is for names that
// nobody has to type: there is another by which commands know the row.
func spare(head []string, rows [][]string, name string, width int) {
	if width <= 0 {
		return
	}
	column := slices.Index(head, name)
	room := width - (least(head, rows) - widest(head, rows, column))
	for _, r := range rows {
		r[column] = snip(r[column], max(room, leastLast))
	}
}

// leave leaves a column out where the least of the last column would else have no room in width columns. It is for what other commands
// and formats tell as well, beside names that have to be whole.
func leave(head []string, rows [][]string, name string, width int) ([]string, [][]string) {
	if width <= 0 || least(head, rows) <= width {
		return head, rows
	}
	column := slices.Index(head, name)
	for i := range rows {
		rows[i] = slices.Delete(rows[i], column, column+1)
	}
	return slices.Delete(head, column, column+1), rows
}

// least is how wide a table is if nothing but its last column is cut.
func least(head []string, rows [][]string) int {
	last := len(head) - 1
	return taken(head, rows) + min(leastLast, widest(head, rows, last))
}

// taken is what the columns before the last take.
func taken(head []string, rows [][]string) int {
	last := len(head) - 1
	wide := len(gap) * last
	for i := range last {
		wide += widest(head, rows, i)
	}
	return wide
}

func tableRow(cells []string) table.Row {
	row := make(table.Row, len(cells))
	for i, cell := range cells {
		row[i] = cell
	}
	return row
}

func roomForLast(head []string, rows [][]string, width int) int {
	if width <= 0 {
		return 0
	}
	return max(width-taken(head, rows), leastLast)
}

// widest is how wide a column is.
func widest(head []string, rows [][]string, column int) int {
	wide := text.StringWidthWithoutEscSequences(head[column])
	for _, r := range rows {
		wide = max(wide, text.StringWidthWithoutEscSequences(r[column]))
	}
	return wide
}

func tableStyle() table.Style {
	s := table.StyleDefault
	s.Options = table.OptionsNoBordersAndSeparators
	s.Box.PaddingLeft, s.Box.PaddingRight = "", gap
	s.Format.Header = text.FormatDefault
	return s
}

// fact is one line of a description.
type fact struct{ name, value string }

// factWidth is the column in which values begin.
const factWidth = 14

// describe renders facts below each other; those without a value are left out. Long values are
// broken into lines of width columns, 0 meaning the usual 80.
func describe(facts []fact, width int) string {
	if width <= 0 {
		width = helpWidth
	}
	var b strings.Builder
	for _, f := range facts {
		if f.value == "" {
			continue
		}
		lines := strings.Split(wrap(harmless(f.value), max(width-factWidth, leastLast)), "\n")
		fmt.Fprintf(&b, "%-*s%s\n", factWidth, f.name, strings.Join(lines, "\n"+strings.Repeat(" ", factWidth)))
	}
	return b.String()
}

// section renders a heading with what is below it, indented; nothing if there is nothing.
func (c *cli) section(title, body string) string {
	if body == "" {
		return ""
	}
	lines := strings.Split(strings.TrimRight(harmless(body), "\n"), "\n")
	return "\n" + c.paint(bold, title) + "\n  " + strings.Join(lines, "\n  ") + "\n"
}

// snip cuts a line at width columns, and shows that it did.
func snip(line string, width int) string { return text.Snip(harmless(line), width, "…") }

// painted is what paint makes. Others of its kind hide text, or go on after the end of what was said.
var painted = regexp.MustCompile(`^\x1b\[(0|1|2|31|32|33|36)m`)

// harmless replaces what a terminal would act on instead of showing it, but for our colours, which end with the text: a
// borrower, a build or a machine may have said it.
func harmless(s string) string {
	acts := func(c rune) bool {
		return c != '\n' && c != '\t' && (unicode.IsControl(c) || unicode.Is(unicode.Cf, c))
	}
	if strings.IndexFunc(s, acts) < 0 {
		return s
	}
	var b strings.Builder
	open := false
	for s != "" {
		size := len(painted.FindString(s))
		if size > 0 {
			b.WriteString(s[:size])
			open = s[:size] != unpainted
		} else {
			var c rune
			if c, size = utf8.DecodeRuneInString(s); acts(c) {
				c = unicode.ReplacementChar
			}
			b.WriteRune(c)
		}
		s = s[size:]
	}
	if open {
		b.WriteString(unpainted)
	}
	return b.String()
}

func harmlessRows(rows [][]string) [][]string {
	shown := make([][]string, len(rows))
	for i, r := range rows {
		shown[i] = make([]string, len(r))
		for j, cell := range r {
			shown[i][j] = harmless(cell)
		}
	}
	return shown
}
