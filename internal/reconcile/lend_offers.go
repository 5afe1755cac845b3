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
// promise: whoever asks first has them. A borrower that is named is told here already that there is none of that name.
func (l *Lender) Offers(ctx context.Context, borrower string) ([]loan.Listing, error) {
	if _, ok := l.Borrowers.Named(borrower); !ok && borrower != "" {
		return nil, noBorrower(borrower)
	}
	open, err := l.Store.OpenLoans(ctx)
	if err != nil {
		return nil, err
	}
	have := l.stock(open)
	var all []loan.Listing
	for _, o := range have.offers {
		c := l.crew(o.Agent.Controller)
		if c == nil {
			continue
		}
		pool := c.settings.Load().named(o.Pool)
		if pool == nil || pool.Lend == nil {
			continue // the configuration was read anew since
		}
		spare, there := have.shelves[o.Pool].Spare(o.Agent.Controller)
		all = append(all, loan.Listing{
			Offer: o.Offer, Labels: slices.Compact(slices.Sorted(slices.Values(o.labels))), Isolated: o.isolated,
			Spare: spare, SpareThere: there, Root: pool.Lend.Root, Ignore: pool.Lend.Ignore,
		})
	}
	slices.SortFunc(all, func(a, b loan.Listing) int {
		return cmp.Or(cmp.Compare(a.Agent.Controller, b.Agent.Controller), cmp.Compare(a.Agent.Name, b.Agent.Name))
	})
	return all, nil
}

// depthAfter is how deep an agent is cleaned after a loan, "" for as usual.
func (p *Lending) depthAfter() hygiene.Depth {
	if p.Root.Rule == loan.RootReimage {
		return hygiene.Deep
	}
	return ""
}
