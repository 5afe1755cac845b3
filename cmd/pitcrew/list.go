// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
)

// listing is how a list is shown in the formats that are not for programs.
type listing[T any] struct {
	none  string                                       // what is said of an empty list
	name  func(T) string                               // by which other commands know an item; "" = it has none
	table func(found []T, wide bool, width int) string // width 0 = as wide as it is
}

// show writes a list as a format says, one of listFormats.
func (l listing[T]) show(c *cli, found []T, f format) error {
	var text string
	switch {
	case f.structured():
		return c.print(f, found)
	case len(found) == 0:
		fmt.Fprintln(c.err, l.none)
		return nil
	case f.value == formatName:
		var names strings.Builder
		for _, item := range found {
			if name := l.name(item); name != "" {
				names.WriteString(name + "\n")
			}
		}
		text = names.String()
	default:
		text = l.table(found, f.wide(), c.tableWidth(f))
	}
	_, err := io.WriteString(c.out, text)
	return err
}

// tableWidth is what a table has room for, 0 for as much as it takes: a wide one is not cut.
func (c *cli) tableWidth(f format) int {
	if f.wide() {
		return 0
	}
	return c.width()
}
