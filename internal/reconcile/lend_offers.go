// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"slices"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

// Offers lists the agents that could be lent now, by controller and name, for those who choose which to ask for. It is no
// promise: whoever asks first has them.
func (l *Lender) Offers(context.Context) []loan.Listing {
	var all []loan.Listing
	spare := map[string]int{}
	markets := l.markets()
	sums := shelvesOf(markets)
	for c, m := range markets {
		s := c.settings.Load()
		for name, shelf := range m.shelves {
			if pool := s.named(name); pool != nil { // the floor is each controller's own
				spare[name] += max(0, shelf.Clean-pool.floor(m.totals[name]))
			}
		}
		for i := range m.offers {
			o := &m.offers[i]
			pool := s.named(o.Pool)
			if pool == nil || pool.Lend == nil {
				continue // the configuration was read anew since
			}
			all = append(all, loan.Listing{
				Offer: o.Offer, Labels: slices.Compact(slices.Sorted(slices.Values(o.labels))), Isolated: o.isolated,
				Root: pool.Lend.Root, Ignore: pool.Lend.Ignore,
			})
		}
	}
	for i := range all {
		all[i].Spare = min(sums[all[i].Pool].Spare(), spare[all[i].Pool])
	}
	slices.SortFunc(all, func(a, b loan.Listing) int {
		return cmp.Or(cmp.Compare(a.Agent.Controller, b.Agent.Controller), cmp.Compare(a.Agent.Name, b.Agent.Name))
	})
	return all
}

// floor is how many clean agents of the pool are kept on a controller that has total.
func (p *Pool) floor(total int) int {
	if p.Floor == nil {
		return 0
	}
	return p.Floor(total)
}

// depthAfter is how deep an agent is cleaned after a loan, "" for as usual.
func (p *Lending) depthAfter() hygiene.Depth {
	if p.Root.Rule == loan.RootReimage {
		return hygiene.Deep
	}
	return ""
}
