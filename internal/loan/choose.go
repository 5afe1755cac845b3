// SPDX-License-Identifier: Apache-2.0

package loan

import (
	"cmp"
	"fmt"
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

// NoneOffered is why a loan waits that none of the offered agents answers.
const NoneOffered = "waits for an agent that it wants to be clean and idle"

// Choose says which waiting loans get which of the offered agents. The borrower with the fewest agents comes
// first, among those the one that has waited longest; within a borrower, the oldest request. Fits says whether an
// agent answers a loan, by what it wants and whom it is to. Quotas are by borrower; one without an entry has none. Active loans are those of all controllers.
// Of each loan that gets none, waits says by its ID what stands in the way.
func Choose(waiting, active []Loan, offers []Offer, shelves map[string]Shelf, quotas map[string]int, fits func(Loan, Offer) bool) (got []Match, waits map[string]string) {
	c := chooser{
		left: slices.SortedFunc(slices.Values(offers), longestClean), shelves: maps.Clone(shelves),
		has: map[string]int{}, quotas: quotas, fits: fits, vain: map[wish]string{},
	}
	for _, l := range active {
		if l.Active() {
			c.has[l.Borrower]++
		}
	}
	queue := slices.SortedFunc(slices.Values(waiting), func(a, b Loan) int {
		return cmp.Or(a.Requested.Compare(b.Requested), cmp.Compare(a.ID, b.ID))
	})
	waits = map[string]string{}
	for len(queue) > 0 {
		i := c.first(queue)
		l := queue[i]
		queue = slices.Delete(queue, i, i+1)
		offer, why := c.take(l)
		if why != "" {
			waits[l.ID] = why
			continue
		}
		got = append(got, Match{Loan: l, Offer: offer})
	}
	return got, waits
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
	vain    map[wish]string // why nothing that is left answers: of one request for many, only the first is tried then
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

// take gives a loan the first agent that answers it, if quota and pool allow one, or says what stands in the way.
func (c *chooser) take(l Loan) (o Offer, why string) {
	if quota, ok := c.quotas[l.Borrower]; ok && c.has[l.Borrower] >= quota {
		return Offer{}, fmt.Sprintf("waits for another loan of %s to end: its quota is %d", l.Borrower, quota)
	}
	w := wish{l.Want, l.To.Kind}
	w.want.Patience = 0
	if why := c.vain[w]; why != "" {
		return Offer{}, why
	}
	why = NoneOffered
	for i, offer := range c.left {
		if !c.fits(l, offer) {
			continue
		}
		shelf := c.shelves[offer.Pool]
		if keeps := shelf.keeps(offer); keeps != "" {
			why = "waits, because " + keeps
			continue
		}
		c.left = slices.Delete(c.left, i, i+1)
		c.shelves[offer.Pool] = shelf.Less(offer.Agent)
		c.has[l.Borrower]++
		return offer, ""
	}
	c.vain[w] = why
	return Offer{}, why
}

// keeps says why the pool cannot do without one more of its clean agents, the offered one; "" if it can.
func (s Shelf) keeps(o Offer) string {
	switch {
	case s.Short:
		return fmt.Sprintf("the queue wants more clean agents of pool %s than there are", o.Pool)
	case s.Lent >= s.Policy.Most:
		return fmt.Sprintf("pool %s lends no more than %d agents at once", o.Pool, s.Policy.Most)
	case s.Clean <= s.Policy.Floor:
		return fmt.Sprintf("pool %s keeps %d clean agents for itself", o.Pool, s.Policy.Floor)
	case s.Above[o.Agent.Controller] <= 0:
		return fmt.Sprintf("no more agents of pool %s are usable on %s than its capacity floor says", o.Pool, o.Agent.Controller)
	}
	return ""
}

// Less returns what remains of the pool when one of its clean agents is lent.
func (s Shelf) Less(a Agent) Shelf {
	s.Clean--
	s.Lent++
	s.Above = maps.Clone(s.Above)
	s.Above[a.Controller]--
	return s
}

// Overdue reports whether the return of a loan takes longer than people would expect.
func (l Loan) Overdue(p Policy, now time.Time) bool {
	return l.State == Returning && p.Return > 0 && !now.Before(l.Since.Add(p.Return))
}
