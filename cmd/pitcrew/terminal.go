// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strconv"

	"golang.org/x/term"
)

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width is how many columns the output may have; 0 means any number, as in a pipe.
func (c *cli) width() int {
	if n, err := strconv.Atoi(c.getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if !isTerminal(c.out) {
		return 0
	}
	if n, _, err := term.GetSize(int(c.out.(*os.File).Fd())); err == nil && n > 0 {
		return n
	}
	return helpWidth
}

// height is how many lines the terminal has; 0 means any number.
func (c *cli) height() int {
	if f, ok := c.out.(*os.File); ok {
		if _, n, err := term.GetSize(int(f.Fd())); err == nil {
			return n
		}
	}
	return 0
}

// colours reports whether output may be coloured (https://no-color.org).
func (c *cli) colours(stream any) bool {
	return isTerminal(stream) && c.getenv("NO_COLOR") == "" && c.getenv("TERM") != "dumb"
}

// colour is what a text is painted with on a terminal that can.
type colour string

const (
	plain  colour = ""
	red    colour = "\x1b[31m"
	green  colour = "\x1b[32m"
	yellow colour = "\x1b[33m"
	cyan   colour = "\x1b[36m"
	faint  colour = "\x1b[2m"
	bold   colour = "\x1b[1m"
)

const unpainted = "\x1b[0m"

// paint colours text for standard output.
func (c *cli) paint(with colour, text string) string {
	if with == plain || text == "" || !c.colours(c.out) {
		return text
	}
	return string(with) + text + unpainted
}
