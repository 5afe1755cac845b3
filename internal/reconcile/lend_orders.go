// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

const (
	// mostAtOnce bounds one request.
	mostAtOnce = 1000
	// mostWaiting bounds what one borrower asks for before it has it: all of it is looked through every second.
	mostWaiting = 1000
)

// Request stores the loans that are asked for, all or none. Secret is that of the node that the borrower has made, if it has.
func (l *Lender) Request(ctx context.Context, r loan.Request, secret string) ([]loan.Loan, error) {
	if err := l.check(&r, secret); err != nil {
		return nil, err
	}
	if err := l.bound(ctx, &r); err != nil {
		return nil, err
	}
	now, request := time.Now(), loanID()
	loans := make([]loan.Loan, r.Count)
	added, events := make([]store.NewLoan, r.Count), make([]hygiene.Event, r.Count)
	for i := range loans {
		loans[i] = loan.Loan{
			ID: loanID(), Request: request, Borrower: r.Borrower, By: r.By, Want: r.Want, To: r.To, Lease: r.Lease,
			State: loan.Waiting, Since: now, Reason: "asked for by " + r.By, Requested: now, Node: loan.Node{Name: r.Node},
		}
		added[i] = store.NewLoan{Loan: loans[i], Secret: secret}
		events[i] = loanEvent(hygiene.EventLoanRequested, &loans[i], loans[i].Reason)
		events[i].Actor, events[i].At = r.By, now
		loans[i].Version = 1
	}
	if err := l.Store.AddLoans(ctx, added, events...); err != nil {
		return nil, err
	}
	for _, e := range events {
		l.Watch.Changed(e)
	}
	l.Poke()
	return loans, nil
}

// loanID is short enough to be typed, and is drawn from 10^15.
func loanID() string { return strings.ToLower(rand.Text()[:10]) }

// check refuses what could never be granted: an agent that is taken for it would be dirty for nothing.
func (l *Lender) check(r *loan.Request, secret string) error {
	bad := func(field, format string, args ...any) error {
		return &loan.RequestError{Field: field, Problem: fmt.Sprintf(format, args...)}
	}
	known, ok := l.Borrowers.Named(r.Borrower)
	switch {
	case r.Borrower == "":
		return bad("borrower", "say who borrows: the token is not that of a borrower")
	case !ok:
		return noBorrower(r.Borrower)
	case r.Count < 1 || r.Count > mostAtOnce:
		return bad("count", "want 1 to %d", mostAtOnce)
	case known.Quota > 0 && r.Count > known.Quota:
		return bad("count", "%s may have %d agents at once", r.Borrower, known.Quota)
	case r.To.Kind == loan.ToSSH && !l.lends(r.Want.Pool, loan.ToSSH) && l.lends(r.Want.Pool, loan.ToController):
		return bad("to.kind", "nobody can be let in by ssh: that needs a pool that lends with an account, and has ssh")
	case !l.lends(r.Want.Pool, loan.ToController):
		if r.Want.Pool == "" {
			return bad("want.pool", "no pool lends its agents: a pool does with loans in its configuration")
		}
		return bad("want.pool", "pool %q lends no agents", r.Want.Pool)
	}
	if r.Want.Labels != "" {
		if _, err := labelexpr.Parse(r.Want.Labels); err != nil {
			return bad("want.labels", "%v", err)
		}
	}
	for _, label := range r.To.Labels {
		if label == "" || !recipe.Storable(label) {
			return bad("to.labels", "%q is no label", label)
		}
	}
	if r.To.CA != "" {
		if r.To.URL == "" {
			return bad("to.ca", "certificates go with url, node and secret; for a borrower of the configuration its tls.ca counts")
		}
		var err error
		if r.To.CA, err = loanjob.Certificates([]byte(r.To.CA)); err != nil {
			return bad("to.ca", "%v", err)
		}
	}
	if (r.To.Key != "") != (r.To.Kind == loan.ToSSH) {
		return bad("to.key", "a loan by ssh needs a public key, and no other has one")
	}
	if len(r.To.Labels) > 0 && (r.To.Kind != loan.ToController || r.Node != "" || r.To.URL != "") {
		return bad("to.labels", "only a node that pitcrew makes at the borrower gets labels")
	}
	switch {
	case r.To.Kind != loan.ToController:
		if r.Node != "" || secret != "" || r.To.URL != "" {
			return bad("node", "only a loan to a controller has one")
		}
		if r.To.Key != "" && !loanjob.IsKey(r.To.Key) {
			return bad("to.key", "want one public key of OpenSSH, ssh-ed25519 for example, without options")
		}
	case r.Node == "" && secret == "" && r.To.URL == "":
		if known.Client == nil {
			return bad("node", "the configuration has no address of %s: make a node there, and give its url, node and secret", r.Borrower)
		}
		r.To.Controller = r.Borrower
	case r.Node == "" || secret == "" || r.To.URL == "":
		return bad("node", "url, node and secret go together")
	case r.Count != 1:
		return bad("count", "a node that you have made is for one agent")
	default:
		if err := jenkins.CheckAgentName(r.Node); err != nil {
			return bad("node", "%v", err)
		}
		if part, problem := loanjob.CheckNode(r.To.URL, r.Node, secret); part != "" {
			return bad(part, "%s", problem)
		}
	}
	return nil
}

func noBorrower(name string) error {
	return &loan.RequestError{Field: "borrower", Problem: fmt.Sprintf("the configuration has no borrower %q", name)}
}

// bound refuses a borrower that asks on and on for what it does not get.
func (l *Lender) bound(ctx context.Context, r *loan.Request) error {
	open, err := l.Store.OpenLoans(ctx)
	if err != nil {
		return err
	}
	waiting := 0
	for i := range open {
		if open[i].Borrower == r.Borrower && open[i].State == loan.Waiting {
			waiting++
		}
	}
	if waiting+r.Count > mostWaiting {
		return &loan.RequestError{Field: "count", Problem: fmt.Sprintf("%d loans of %s wait already, and no more than %d may: return some", waiting, r.Borrower, mostWaiting)}
	}
	return nil
}

// lends reports whether a pool, or any if it is "", lends its agents in a way.
func (l *Lender) lends(pool string, to loan.Kind) bool {
	for _, c := range l.Crews() {
		for _, p := range c.settings.Load().Pools {
			if p.Lend != nil && (pool == "" || p.Name == pool) && (to != loan.ToSSH || p.letsIn()) {
				return true
			}
		}
	}
	return false
}

// Return ends a loan by somebody's word. One that is over is left as it is.
func (l *Lender) Return(ctx context.Context, id, actor, reason string) (loan.Loan, error) {
	one, err := l.onOrder(ctx, id, func(one *loan.Loan, now time.Time) error {
		if one.Over() || one.State == loan.Returning {
			return nil
		}
		return l.end(ctx, one, loan.ByReturn, reason, actor, now)
	})
	if err == nil {
		l.starting(id, nil)
	}
	return one, err
}

// Renew notes a sign of life of the borrower, and lets the loan last longer if longer is not 0. What the borrower itself
// saw of its node comes with it, where only it can see that.
func (l *Lender) Renew(ctx context.Context, id, actor string, longer time.Duration, idle *bool) (loan.Loan, error) {
	return l.onOrder(ctx, id, func(one *loan.Loan, now time.Time) error {
		renewed, err := one.Renew(longer, now)
		if err != nil {
			return err
		}
		if idle != nil && one.To.Own() {
			renewed.Idles(*idle, now)
		}
		var events []hygiene.Event
		if longer > 0 {
			e := loanEvent(hygiene.EventLoanRenewed, &renewed, "until "+renewed.Until.UTC().Format(time.RFC3339))
			e.Actor = actor
			events = append(events, e)
		}
		*one = renewed
		return l.save(ctx, one, now, events...)
	})
}

// onOrder changes a loan by somebody's word, again when a step of it came in between.
func (l *Lender) onOrder(ctx context.Context, id string, f func(*loan.Loan, time.Time) error) (loan.Loan, error) {
	for {
		one, err := l.Store.Loan(ctx, id)
		if err != nil {
			return one, err
		}
		err = f(&one, time.Now())
		if errors.Is(err, store.ErrConflict) && ctx.Err() == nil {
			continue
		}
		l.enqueue(id)
		return one, err
	}
}
