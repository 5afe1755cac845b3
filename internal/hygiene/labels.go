// SPDX-License-Identifier: Apache-2.0

package hygiene

import (
	"fmt"
	"slices"
	"strings"
)

// Labels is a set of our three labels; an agent's other labels are none of our business.
type Labels uint8

// The three labels.
const (
	LabelCleanable Labels = 1 << iota
	LabelDirty
	LabelClean
)

// The label sets that pitcrew itself writes on a managed agent.
const (
	ShowDue   = LabelCleanable
	ShowDirty = LabelCleanable | LabelDirty
	ShowClean = LabelCleanable | LabelClean
)

// Has reports whether every label of want is in l.
func (l Labels) Has(want Labels) bool { return l&want == want }

// String lists the set in the default spelling, for logs and events.
func (l Labels) String() string {
	if l == 0 {
		return "none"
	}
	return strings.Join(DefaultNames.Strings(l), " ")
}

// Names is how a controller spells the three labels.
type Names struct {
	Cleanable, Dirty, Clean string
}

// DefaultNames is the spelling used unless the configuration says otherwise.
var DefaultNames = Names{Cleanable: "cleanable", Dirty: "dirty", Clean: "clean"}

// Validate refuses names that Jenkins would not read back as one plain label, or whose agents it could not be asked
// for, and names that are not three different ones.
func (n Names) Validate() error {
	for _, name := range []string{n.Cleanable, n.Dirty, n.Clean} {
		if name == "" || !plainAtom(name) {
			return fmt.Errorf("label %q: want one word without quotes, blanks or operators", name)
		}
		if name == "." || name == ".." || strings.ContainsAny(name, "/;") {
			return fmt.Errorf("label %q: want none with / or ;: Jenkins has no address at which to ask for its agents", name)
		}
	}
	if n.Cleanable == n.Dirty || n.Cleanable == n.Clean || n.Dirty == n.Clean {
		return fmt.Errorf("labels %q, %q, %q: want three different ones", n.Cleanable, n.Dirty, n.Clean)
	}
	return nil
}

// plainAtom admits a hyphen inside a word: only "->" is an operator.
func plainAtom(name string) bool {
	return !strings.ContainsAny(name, " \t\r\n\"'\\()!&|<>")
}

// Strings spells the set, in the fixed order cleanable, dirty, clean.
func (n Names) Strings(l Labels) []string {
	var out []string
	for _, e := range n.pairs() {
		if l.Has(e.label) {
			out = append(out, e.name)
		}
	}
	return out
}

// Read picks our labels out of an agent's tokens.
func (n Names) Read(tokens []string) Labels {
	var l Labels
	for _, e := range n.pairs() {
		if slices.Contains(tokens, e.name) {
			l |= e.label
		}
	}
	return l
}

// Apply returns tokens with our labels set to exactly want: foreign tokens keep their place and
// order, ours that stay keep theirs, new ones go to the end.
func (n Names) Apply(tokens []string, want Labels) []string {
	out := make([]string, 0, len(tokens)+2)
	var have Labels
	for _, t := range tokens {
		l := n.Read([]string{t})
		if l == 0 || want.Has(l) && !have.Has(l) {
			out = append(out, t)
			have |= l
		}
	}
	return append(out, n.Strings(want&^have)...)
}

func (n Names) pairs() [3]struct {
	name  string
	label Labels
} {
	return [3]struct {
		name  string
		label Labels
	}{{n.Cleanable, LabelCleanable}, {n.Dirty, LabelDirty}, {n.Clean, LabelClean}}
}
