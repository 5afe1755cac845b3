// SPDX-License-Identifier: Apache-2.0

package loan

import (
	"path"
	"slices"
)

// Listing is an offer as a borrower is told of it.
type Listing struct {
	Offer
	Labels   []string // with its own name
	Isolated bool     // the borrowed program would run under an account of its own
	// Spare is how many agents of the pool could be lent now, this one included, with its capacity floor kept; SpareThere how many
	// of these on its controller.
	Spare, SpareThere int
	Root              Root
	// Ignore are differences that do not matter in a rehearsal on it, as the configuration has them.
	Ignore []string
}

// RootRule says whether a borrower's unreviewed code that asks for root may run on agents of a pool.
type RootRule string

// The rules. They are words of the configuration.
const (
	// RootNever: it may not.
	RootNever RootRule = "never"
	// RootApproved: it may if it is of a ref that a trusted person approves.
	RootApproved RootRule = "approved"
	// RootReimage: it may, because the agent's return means that it is made anew.
	RootReimage RootRule = "reimage"
)

// Root is a pool's rule together with what it refers to.
type Root struct {
	Rule RootRule // "" = never
	// Refs are patterns of [path.Match], such as refs/heads/release/*.
	Refs []string
}

// Refuses says why code of a ref may not ask for root, or "" if it may. Where the ref comes from is the caller's to judge.
func (r Root) Refuses(ref string) string {
	switch r.Rule {
	case RootReimage:
		return ""
	case RootApproved:
		if ref == "" {
			return "it may only from an approved ref, and none is given"
		}
		matches := func(pattern string) bool { ok, err := path.Match(pattern, ref); return err == nil && ok }
		if slices.ContainsFunc(r.Refs, matches) {
			return ""
		}
		return "it may only from an approved ref, and " + ref + " is none"
	case RootNever:
	}
	return "its pool lets no borrowed code ask for root"
}

// Spare is how many more agents the pool can lend now, and how many of these on one controller.
func (s Shelf) Spare(controller string) (all, there int) {
	if s.Short {
		return 0, 0
	}
	above := 0
	for _, n := range s.Above {
		above += max(0, n)
	}
	all = max(0, min(s.Policy.Most-s.Lent, s.Clean-s.Policy.Floor, above))
	return all, min(all, max(0, s.Above[controller]))
}
