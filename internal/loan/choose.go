// SPDX-License-Identifier: Apache-2.0

package loan

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Offer is an agent that could be lent now: clean, idle, online and its own.
type Offer struct {
	Agent Agent
	Pool  string
	// CleanSince orders agents: the one that has been clean for longest goes first.
	CleanSince time.Time
}

// Shelf is a pool that lends.
type Shelf struct {
	Policy Policy
	Clean  int  // clean agents of the pool, on all controllers
	Lent   int  // agents of it that are on loan
	Short  bool // the queue wants more than there are
	// Above is how many of its agents are usable above the capacity floor, by controller: the floor is each controller's own.
	Above map[string]int
}

// Match is a loan that gets an agent.
type Match struct {
	Loan  Loan
	Offer Offer
}

// Choose says which waiting loans get which of the offered agents. The borrower with the fewest agents comes
// first, among those the one that has waited longest; within a borrower, the oldest request. Fits says whether an
// agent answers a loan, by what it wants and whom it is to. Quotas are by borrower; one without an entry has none. Active loans are those of all controllers.
func Choose(waiting, active []Loan, offers []Offer, shelves map[string]Shelf, quotas map[string]int, fits func(Loan, Offer) bool) []Match {
	c := chooser{
		left: slices.SortedFunc(slices.Values(offers), longestClean), shelves: make(map[string]Shelf, len(shelves)),
		has: map[string]int{}, quotas: quotas, fits: fits, vain: map[wish]bool{},
	}
	for pool, shelf := range shelves {
		shelf.Above = maps.Clone(shelf.Above)
		c.shelves[pool] = shelf
	}
	for _, l := range active {
		if l.Active() {
			c.has[l.Borrower]++
		}
	}
	queue := slices.SortedFunc(slices.Values(waiting), func(a, b Loan) int {
		return cmp.Or(a.Requested.Compare(b.Requested), cmp.Compare(a.ID, b.ID))
	})
	var out []Match
	for len(queue) > 0 {
		i := c.first(queue)
		l := queue[i]
		queue = slices.Delete(queue, i, i+1)
		if offer, ok := c.take(l); ok {
			out = append(out, Match{Loan: l, Offer: offer})
		}
	}
	return out
}

func longestClean(a, b Offer) int {
	return cmp.Or(a.CleanSince.Compare(b.CleanSince), cmp.Compare(a.Agent.Controller, b.Agent.Controller), cmp.Compare(a.Agent.Name, b.Agent.Name))
}

type chooser struct {
	left    []Offer
	shelves map[string]Shelf
	has     map[string]int // agents by borrower
	quotas  map[string]int
	fits    func(Loan, Offer) bool
	vain    map[wish]bool // that nothing which is left answers: of one request for many, only the first is tried then
}

// wish is what tells whether an agent answers a loan.
type wish struct {
	want Want
	to   Kind
}

// first returns the place in the queue, which is by age, of the loan whose turn it is.
func (c *chooser) first(queue []Loan) int {
	best := 0
	for i, l := range queue {
		if c.has[l.Borrower] < c.has[queue[best].Borrower] {
			best = i
		}
	}
	return best
}

// take gives a loan the first agent that answers it, if quota and pool allow one.
func (c *chooser) take(l Loan) (Offer, bool) {
	if quota, ok := c.quotas[l.Borrower]; ok && c.has[l.Borrower] >= quota {
		return Offer{}, false
	}
	w := wish{l.Want, l.To.Kind}
	if w.want.Patience = 0; c.vain[w] {
		return Offer{}, false
	}
	i := slices.IndexFunc(c.left, func(o Offer) bool { return c.shelves[o.Pool].Spares(o.Agent) && c.fits(l, o) })
	if i < 0 {
		c.vain[w] = true
		return Offer{}, false
	}
	offer := c.left[i]
	c.left = slices.Delete(c.left, i, i+1)
	c.shelves[offer.Pool] = c.shelves[offer.Pool].Less(offer.Agent)
	c.has[l.Borrower]++
	return offer, true
}

// Spares reports whether the pool can do without one more of its clean agents, the given one.
func (s Shelf) Spares(a Agent) bool {
	return s.Spare() > 0 && s.Above[a.Controller] > 0
}

// Less returns what remains of the pool when one of its clean agents is lent. It changes Above of s.
func (s Shelf) Less(a Agent) Shelf {
	s.Clean--
	s.Lent++
	s.Above[a.Controller]--
	return s
}

// Overdue reports whether the return of a loan takes longer than people would expect.
func (l Loan) Overdue(p Policy, now time.Time) bool {
	return l.State == Returning && p.Return > 0 && !now.Before(l.Since.Add(p.Return))
}
