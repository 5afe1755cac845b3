// SPDX-License-Identifier: Apache-2.0

package mess

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// State is what the program says of a maker.
type State string

// The states: two of make, three of undo.
const (
	Made    State = "made"
	Skipped State = "skipped" // the reason follows
	Gone    State = "gone"    // undo had nothing to do
	Removed State = "removed" // undo had to: what follows was still there
	Left    State = "LEFT"    // undo could not: the reason follows
)

// Line is what the program said of one maker.
type Line struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Detail string `json:"detail,omitempty"`
}

func (l Line) String() string {
	return strings.TrimSpace(l.Name + ": " + string(l.State) + " " + l.Detail)
}

// maxDetail bounds what is kept of a reason.
const maxDetail = 1000

// Read returns what the program said, in its order. It is an error if a maker of makers is missing or there twice, for
// then the program did not end, or something else has written into its log. Other lines of the log are passed over.
func Read(log []byte, makers []Maker) ([]Line, error) {
	var lines []Line
	for text := range bytes.Lines(log) {
		rest, ok := strings.CutPrefix(strings.TrimRight(string(text), "\r\n"), "mess ")
		if !ok {
			continue
		}
		name, rest, _ := strings.Cut(rest, " ")
		state, detail, _ := strings.Cut(rest, " ")
		l := Line{Name: name, State: State(state), Detail: strings.ToValidUTF8(detail[:min(len(detail), maxDetail)], "?")}
		if !slices.Contains([]State{Made, Skipped, Gone, Removed, Left}, l.State) {
			return nil, fmt.Errorf("the mess %q is %q, which no maker says", l.Name, l.State)
		}
		if !slices.ContainsFunc(makers, func(m Maker) bool { return m.Name == l.Name }) {
			return nil, fmt.Errorf("the mess %q was not asked for", l.Name)
		}
		if slices.ContainsFunc(lines, func(k Line) bool { return k.Name == l.Name }) {
			return nil, fmt.Errorf("the mess %q is there twice", l.Name)
		}
		lines = append(lines, l)
	}
	for _, m := range makers {
		if !slices.ContainsFunc(lines, func(l Line) bool { return l.Name == m.Name }) {
			return nil, fmt.Errorf("nothing is said of the mess %q: the program did not end", m.Name)
		}
	}
	return lines, nil
}
