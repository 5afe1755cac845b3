// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-ci/pitcrew/internal/engine"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// LenderDeps is what a lender works with.
type LenderDeps struct {
	Store     *store.Store
	Engine    engine.Engine // of the lender alone
	Borrowers *Borrowers
	Crews     func() []*Crew // those that service controllers now
	Log       *slog.Logger
	Watch     LoanWatcher
}

// LoanWatcher is told of loans, for metrics. Its methods must be quick and safe for concurrent use.
type LoanWatcher interface {
	Changed(e hygiene.Event)
	// Lent is told of all loans that are not over, now and then.
	Lent(open []loan.Loan)
	// Attached is told of each loan that the borrower has the agent of, once.
	Attached(l loan.Loan)
	// Returned is told of each loan that is over.
	Returned(l loan.Loan)
}

// Lender brings loans from request to return, for all controllers of the daemon. It goes on where the store says that a
// loan is, whatever died meanwhile: a lease ends even if the lender's controller does not answer. Make it with
// [NewLender], then [Lender.Run].
type Lender struct {
	LenderDeps
	wake chan struct{}

	mu       sync.Mutex
	setbacks map[string][]setback // by loan; guarded by mu
	asked    map[string]time.Time // when the machine of a loan was last asked whether its program lives; guarded by mu
	waits    map[string]string    // what loans wait for, as they were last looked through; guarded by mu
	// starts end the start of a program over SSH, which takes until the borrower has the agent, by loan; guarded by mu
	starts map[string]context.CancelFunc
}

// loanKey is the engine's kind for everything that is done to one loan.
const loanKey = "loan"

// loanWorkers bounds how many loans are worked on at once: requests are bounded by the clients, and one that starts over SSH at a
// borrower that cannot be reached takes its attach timeout, which others are not to wait for.
const loanWorkers = 100

// NewLender returns a lender. It does nothing until it runs.
func NewLender(d LenderDeps) *Lender {
	l := &Lender{LenderDeps: d, wake: make(chan struct{}, 1), setbacks: map[string][]setback{}, asked: map[string]time.Time{}, starts: map[string]context.CancelFunc{}}
	l.Engine.Register(loanKey, l.handle, engine.HandlerOptions{Workers: loanWorkers, Timeout: loanTime})
	return l
}

// loanTime bounds one step of one loan: a borrower that hangs must not hold the others up.
const loanTime = 2 * time.Minute

// lendEvery is how often loans are looked through when nothing pokes the lender.
const lendEvery = time.Second

// Run brings loans on until ctx ends. It returns nil then, and an error only for faults that no retry can mend.
func (l *Lender) Run(ctx context.Context) error {
	g, duties := errgroup.WithContext(ctx)
	g.Go(func() error { return l.Engine.Run(duties) })
	g.Go(func() error {
		return every(duties, func() time.Duration { return lendEvery }, l.wake, func(ctx context.Context) {
			if err := l.lendOnce(ctx); err != nil && ctx.Err() == nil {
				l.Log.ErrorContext(ctx, "loans could not be looked through", "err", err)
			}
		})
	})
	return unlessEnded(ctx, g.Wait())
}

// Poke has loans looked through now.
func (l *Lender) Poke() { poke(l.wake) }

// lendOnce gives agents to the loans that wait, and has all others worked on.
func (l *Lender) lendOnce(ctx context.Context) error {
	open, err := l.Store.OpenLoans(ctx)
	if err != nil {
		return err
	}
	l.Watch.Lent(open)
	var waiting []loan.Loan
	for _, one := range open {
		if one.State == loan.Waiting {
			waiting = append(waiting, one)
		}
		l.enqueue(one.ID)
	}
	if len(waiting) == 0 {
		return nil
	}
	return l.choose(ctx, waiting, open)
}

func (l *Lender) enqueue(id string) { l.Engine.Enqueue(loanKey, id) }

// crew returns the one that services a controller, nil when none does.
func (l *Lender) crew(controller string) *Crew {
	for _, c := range l.Crews() {
		if string(c.ID()) == controller && c.Refused() == "" {
			return c
		}
	}
	return nil
}

// notOurs reports whether another daemon services a controller, or nobody can tell yet: what this store says of its loans
// may be an old copy, and is left to that one. If the controller does not answer, they are ours until it says otherwise.
func (l *Lender) notOurs(controller string) bool {
	for _, c := range l.Crews() {
		if string(c.ID()) == controller {
			return c.Refused() != "" || c.look.Load() == nil && c.Problem() == ""
		}
	}
	return false
}

// markets are those of all controllers that have something to lend.
func (l *Lender) markets() map[*Crew]*market {
	all := map[*Crew]*market{}
	for _, c := range l.Crews() {
		if m := c.market.Load(); m != nil && c.Refused() == "" {
			all[c] = m
		}
	}
	return all
}

// stock is what all controllers have to lend.
type stock struct {
	offers  map[loan.Agent]*offer
	shelves map[string]loan.Shelf // the pools that lend, over all controllers
}

// stock is what the newest decisions saw, without what loans have got since: a request may come before the next decision.
func (l *Lender) stock(open []loan.Loan) stock {
	have := stock{offers: map[loan.Agent]*offer{}, shelves: map[string]loan.Shelf{}}
	for _, m := range l.markets() {
		for pool, shelf := range m.shelves {
			sum, ok := have.shelves[pool]
			if !ok {
				sum.Above = map[string]int{}
			}
			sum.Policy = shelf.Policy
			sum.Clean, sum.Lent, sum.Short = sum.Clean+shelf.Clean, sum.Lent+shelf.Lent, sum.Short || shelf.Short
			maps.Copy(sum.Above, shelf.Above)
			have.shelves[pool] = sum
		}
		for i := range m.offers {
			have.offers[m.offers[i].Agent] = &m.offers[i]
		}
	}
	for i := range open {
		if o, ok := have.offers[open[i].Agent]; ok && open[i].Active() {
			have.shelves[o.Pool] = have.shelves[o.Pool].Less(o.Agent)
			delete(have.offers, o.Agent)
		}
	}
	return have
}

// choose lets the domain say which waiting loans get which agents.
func (l *Lender) choose(ctx context.Context, waiting, open []loan.Loan) error {
	have := l.stock(open)
	offers := make([]loan.Offer, 0, len(have.offers))
	for _, o := range have.offers {
		offers = append(offers, o.Offer)
	}
	exprs := map[string]labelexpr.Expr{} // each is read once, not for each agent
	read := func(labels string) labelexpr.Expr {
		expr, ok := exprs[labels]
		if !ok {
			expr = labelexpr.ParseLenient(labels)
			exprs[labels] = expr
		}
		return expr
	}
	fits := func(one loan.Loan, o loan.Offer) bool {
		return have.offers[o.Agent].answers(&one, read(one.Want.Labels))
	}
	var errs []error
	matches, waits := loan.Choose(waiting, open, offers, have.shelves, l.Borrowers.quotas(), fits)
	l.explain(waiting, waits, read)
	l.mu.Lock()
	l.waits = waits
	l.mu.Unlock()
	for _, m := range matches {
		granted, err := l.grant(ctx, m, open)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		open = append(open, granted)
	}
	return errors.Join(errs...)
}

// explain says of loans that nothing offered answers whether anything could: who has mistyped a name would wait for ever. Each wish is
// looked for once.
func (l *Lender) explain(waiting []loan.Loan, waits map[string]string, read func(labels string) labelexpr.Expr) {
	type wish struct {
		want loan.Want
		to   loan.Kind
	}
	told := map[wish]string{}
	for i := range waiting {
		one := &waiting[i]
		if waits[one.ID] != loan.NoneOffered {
			continue
		}
		w := wish{one.Want, one.To.Kind}
		w.want.Patience = 0
		if _, ok := told[w]; !ok {
			told[w] = l.whyNone(one, read(one.Want.Labels))
		}
		waits[one.ID] = told[w]
	}
}

// whyNone is why no agent is offered that answers a loan; expr is the label expression of that.
func (l *Lender) whyNone(one *loan.Loan, expr labelexpr.Expr) string {
	paused := ""
	for _, c := range l.Crews() {
		m := c.market.Load()
		if m == nil {
			if s := c.settings.Load(); !s.DryRun && slices.ContainsFunc(s.Pools, func(p Pool) bool { return p.Lend != nil }) {
				return loan.NoneOffered // nobody has looked there yet
			}
			continue
		}
		for i := range m.offers {
			if m.offers[i].answers(one, expr) {
				return loan.NoneOffered // another loan has just got it
			}
		}
		for i := range m.others {
			switch o := &m.others[i]; {
			case !o.answers(one, expr):
			case o.paused == "":
				return loan.NoneOffered
			default:
				paused = fmt.Sprintf("waits, because pool %s lends nothing meanwhile: %s", o.Pool, o.paused)
			}
		}
	}
	return cmp.Or(paused, "waits for what no lending pool has")
}

// Waits says what a loan waits for that has no agent yet, "" if that was not looked at.
func (l *Lender) Waits(id string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waits[id]
}

// jobOf returns the first of a controller's loan jobs that no loan has.
func jobOf(s *Settings, controller string, open []loan.Loan) string {
	for n := 1; ; n++ {
		job := s.loanJob(n)
		if !slices.ContainsFunc(open, func(o loan.Loan) bool { return o.Agent.Controller == controller && o.Run.Job == job }) {
			return job
		}
	}
}
