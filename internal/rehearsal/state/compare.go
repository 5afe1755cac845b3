// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Change is how a thing differs.
type Change string

// The changes, from the first state to the second.
const (
	Added   Change = "added"   // only the second has it
	Removed Change = "removed" // only the first has it
	Changed Change = "changed" // both have it, and it is not the same
	Unseen  Change = "unseen"  // one of them could not read this kind, or not as a whole: it was not compared
)

// Difference is one difference of two states.
type Difference struct {
	Kind   Kind   `json:"kind"`
	Key    string `json:"key,omitempty"` // none for Unseen
	Change Change `json:"change"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

func (d Difference) String() string {
	switch d.Change {
	case Added:
		return fmt.Sprintf("%s %s is there: %s", d.Kind, quote(d.Key), quote(d.After))
	case Removed:
		return fmt.Sprintf("%s %s is missing: %s", d.Kind, quote(d.Key), quote(d.Before))
	case Changed:
		return fmt.Sprintf("%s %s differs: %s, not %s", d.Kind, quote(d.Key), quote(d.After), quote(d.Before))
	case Unseen:
		return strings.TrimSpace(fmt.Sprintf("%ss were not compared: %s", d.Kind, quote(strings.TrimPrefix(d.Before+"; "+d.After, "; "))))
	}
	return fmt.Sprintf("%s %s: %s", d.Kind, quote(d.Key), string(d.Change))
}

// quote shows a line that would not look like one in quotes.
func quote(s string) string {
	s = strings.TrimSuffix(s, "; ")
	if q := fmt.Sprintf("%q", s); q != `"`+s+`"` && strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return q
	}
	return s
}

// Compare tells what differs from a to b, without what is ignored, by kind and key. A kind that one of them could not
// read is one difference; but if neither could, for the same reason, that is how such a machine is.
func Compare(a, b State, ignore Ignore) []Difference {
	var all []Difference
	skip := map[Kind]bool{}
	for _, k := range kinds {
		whyA, inA := a.Unread[k]
		whyB, inB := b.Unread[k]
		skip[k] = inA || inB
		if whyA != whyB || inA != inB {
			all = append(all, Difference{Kind: k, Change: Unseen, Before: whyA, After: whyB})
		}
	}
	before, after := byName(a), byName(b)
	for n, was := range before {
		switch is, ok := after[n]; {
		case skip[n.kind] || ignore.has(n.kind, n.key):
		case !ok:
			all = append(all, Difference{n.kind, n.key, Removed, was, ""})
		case is != was:
			all = append(all, Difference{n.kind, n.key, Changed, was, is})
		}
	}
	for n, is := range after {
		if _, ok := before[n]; !ok && !skip[n.kind] && !ignore.has(n.kind, n.key) {
			all = append(all, Difference{n.kind, n.key, Added, "", is})
		}
	}
	slices.SortFunc(all, func(x, y Difference) int { return order(Item{x.Kind, x.Key, ""}, Item{y.Kind, y.Key, ""}) })
	return all
}

func byName(s State) map[name]string {
	m := make(map[name]string, len(s.Items))
	for _, i := range s.Items {
		m[name{i.Kind, i.Key}] = i.Value
	}
	return m
}
