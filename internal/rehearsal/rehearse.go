// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/mess"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/state"
)

// Rehearsal is what is to be rehearsed, where and how. It is used once.
type Rehearsal struct {
	Desk     Desk
	Jenkins  *jenkins.Client // of the controller that is there for this
	AgentURL string          // its root as the agents reach it
	AgentCA  string          // what they are to trust there, in PEM; "" = what their Java trusts
	// Controller is that one where nobody else has it; nil otherwise.
	Controller Mortal

	Candidate *recipe.Program
	Owned     []string        // paths that the candidate owns: what it leaves there is compared
	Against   *recipe.Program // to compare with; nil = what each pool has in production
	Ignore    state.Ignore    // besides what differs anyway

	Wish     Wish
	Borrower string
	For      time.Duration // of each loan; 0 = as long as this lives, and the pool lets it
	TTL      time.Duration // after which a loan ends when this gives no sign of life; default 2 min
	Wait     time.Duration // for an agent; default 10 min

	Depth        recipe.Depth  // default standard
	MessDirs     []string      // the first of them that is there gets the mess; default: Owned
	Mess         []mess.Kind   // that is left; empty = every kind
	RunLimit     time.Duration // of one run; default 1 h
	ReturnWithin time.Duration // until a returned agent is clean; default 15 min

	Began time.Time    // default: now; a caller that has made a controller says when it began to
	Keep  bool         // leave the jobs at the controller
	Say   func(string) // a line of progress; from many goroutines
	Undo  *Undo        // what is made is noted there; the caller runs it

	keeping    sync.WaitGroup
	production map[string]*recipe.Program // by pool
}

// ErrNothing says that no agent could be chosen.
var ErrNothing = errors.New("there is no agent to rehearse on")

// Run rehearses on all chosen agents at once, and returns what it found. An error says that it did not come to its end. What is left to
// undo is in Undo then and in every other case.
func (r *Rehearsal) Run(ctx context.Context) (*report.Report, error) {
	r.defaults()
	defer r.keeping.Wait()
	found := &report.Report{
		Version: report.Version, ID: strings.ToLower(rand.Text())[:10], StartedAt: r.Began,
		Recipe: report.Recipe{Name: r.Candidate.Recipe, Revision: r.Candidate.Revision}, Verdict: report.Broken, Gaps: []string{},
	}
	if err := r.read(ctx, r.Wish.Pools); err != nil { // of a pool that lends nothing no agent is to be waited for
		return found, err
	}
	r.sweep(ctx)
	chosen, gaps, err := r.choose(ctx)
	for _, g := range gaps {
		found.Gaps = append(found.Gaps, g.String())
	}
	if err != nil {
		return found, err
	}
	if r.Against == nil {
		pools := make([]string, len(chosen))
		for i, o := range chosen {
			pools[i] = o.Pool
		}
		if err := r.read(ctx, pools); err != nil {
			return found, err
		}
	}
	found.Agents = make([]report.Agent, len(chosen))
	life, end := r.life(ctx)
	defer end()
	var all sync.WaitGroup
	for i, o := range chosen {
		a := &found.Agents[i]
		*a = report.Agent{Name: o.Name(), Pool: o.Pool, OS: o.OS, Arch: o.Arch, Profile: o.Profile, Cases: []report.Case{}}
		b := &bench{Rehearsal: r, offer: o, undo: r.Undo.Part(o.Name()), jobs: map[string]string{}, found: a}
		all.Go(func() { b.whole(ctx, life) })
	}
	all.Wait()
	conclude(found)
	return found, context.Cause(ctx)
}

// read reads what cleans the agents of pools in production, before any is borrowed: what is not there to compare with is no word
// about the candidate.
func (r *Rehearsal) read(ctx context.Context, pools []string) error {
	for _, pool := range pools {
		if r.production[pool] != nil {
			continue
		}
		p, err := r.Desk.Program(ctx, pool)
		if err != nil {
			return fmt.Errorf("ask for the recipe of pool %s: %w", pool, err)
		}
		r.production[pool] = p
	}
	return nil
}

// offersPoll is how often a desk that has nothing to offer is asked again.
const offersPoll = 2 * time.Second

// restartTime is how long a desk that has answered may give no answer to whoever waits: its daemon restarts.
const restartTime = 2 * time.Minute

// choose chooses agents, and waits for the first where time may bring one.
func (r *Rehearsal) choose(ctx context.Context) ([]Offer, []Gap, error) {
	began, told, answered := time.Now(), false, time.Time{}
	for {
		offers, err := r.Desk.Offers(ctx)
		if err != nil && time.Since(answered) > restartTime {
			return nil, nil, fmt.Errorf("ask what could be borrowed: %w", err)
		}
		if err != nil {
			if err := pause(ctx, offersPoll); err != nil {
				return nil, nil, fmt.Errorf("wait for the daemon: %w", err)
			}
			continue
		}
		answered = time.Now()
		chosen, gaps := Choose(offers, r.Wish)
		final := slices.ContainsFunc(gaps, func(g Gap) bool { return !g.passing })
		if len(chosen) == 0 && !final && time.Since(began) < r.Wait {
			if !told {
				r.Say(fmt.Sprintf("waits up to %s for an agent: %s", r.Wait, nothing(gaps)))
				told = true
			}
			if err := pause(ctx, offersPoll); err != nil {
				return nil, gaps, fmt.Errorf("wait for an agent to borrow: %w", err)
			}
			continue
		}
		for _, g := range gaps {
			r.Say("not covered: " + g.String())
		}
		if len(chosen) > 0 {
			return chosen, gaps, nil
		}
		return nil, gaps, fmt.Errorf("%w: %s", ErrNothing, nothing(gaps))
	}
}

// nothing says why there is no agent.
func nothing(gaps []Gap) string {
	if len(gaps) == 0 {
		return "none is offered that is wanted"
	}
	why := make([]string, len(gaps))
	for i, g := range gaps {
		why[i] = g.String()
	}
	return strings.Join(why, "; ")
}

func (r *Rehearsal) defaults() {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&r.TTL, 2*time.Minute)
	set(&r.Wait, 10*time.Minute)
	set(&r.RunLimit, time.Hour)
	set(&r.ReturnWithin, 15*time.Minute)
	if r.Began.IsZero() {
		r.Began = time.Now()
	}
	if r.Depth == "" {
		r.Depth = recipe.Standard
	}
	if len(r.MessDirs) == 0 {
		r.MessDirs = r.Owned
	}
	if r.Say == nil {
		r.Say = func(string) {}
	}
	if r.Undo == nil {
		r.Undo = &Undo{}
	}
	r.production = map[string]*recipe.Program{}
}

// whole is the rehearsal on one agent, which ends with life. What was made for it is undone at its end; interrupted, nobody waits for its
// cleanup.
func (b *bench) whole(ctx, life context.Context) {
	defer func() {
		if err := b.takeBack(ctx); err != nil {
			b.note(report.Case{Name: "leave nothing behind", Verdict: report.Broken, Reason: err.Error()})
		}
	}()
	defer func() {
		if cause := recover(); cause != nil {
			b.note(report.Case{Name: "rehearsal", Verdict: report.Broken, Reason: fmt.Sprintf("panic: %v", cause)})
		}
	}()
	kept, err := b.open(life)
	if err != nil {
		b.note(report.Case{Name: "borrow", Verdict: report.Broken, Reason: err.Error()})
		return
	}
	b.sequence(kept)
	b.try(ctx, caseReturn, func(ctx context.Context, _ *report.Case) error { return b.giveBack(ctx) })
}

// note keeps a case and tells of it.
func (b *bench) note(c report.Case) {
	b.found.Cases = append(b.found.Cases, c)
	text := fmt.Sprintf("%s: %s", c.Name, c.Verdict)
	if c.Duration > 0 {
		text += " after " + c.Duration.Round(100*time.Millisecond).String()
	}
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	b.say("%s", text)
}
