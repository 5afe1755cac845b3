// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Commands are refused with one of these, wrapped with what was asked for.
var (
	// ErrNoRollout: the pool has no rollout that the command could be about.
	ErrNoRollout = errors.New("the pool has no rollout under way")
	// ErrUnderWay: one revision at a time.
	ErrUnderWay = errors.New("a rollout is under way")
	// ErrUnpinned: a pool without a revision has nothing that a new one could be compared with. It is pinned, not rolled out.
	ErrUnpinned = errors.New("the pool pins no revision yet")
	// ErrSameRevision: there is nothing to roll out.
	ErrSameRevision = errors.New("the pool pins this revision already")
	// ErrPaused: a paused rollout goes no further until it is resumed.
	ErrPaused = errors.New("the rollout is paused")
	// ErrOver: it is done or rolled back.
	ErrOver = errors.New("the rollout is over")
	// ErrChanged: somebody was faster. Decide anew.
	ErrChanged = errors.New("the rollout has changed")
)

// RefusedError is a command that a rollout does not take as it stands. It wraps one of the errors above.
type RefusedError struct {
	Command  string // promote, pause, resume, roll back, start
	Pool     string
	Revision Revision
	Says     string // what stands against it, and what to do
	Cause    error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s rollout of pool %s: %s", e.Command, e.Pool, e.Says)
}

func (e *RefusedError) Unwrap() error { return e.Cause }

func (r Rollout) refuse(command string, cause error, format string, args ...any) error {
	return &RefusedError{Command: command, Pool: r.Pool, Revision: r.To, Cause: cause, Says: fmt.Sprintf(format, args...)}
}

// Order is what a person or the daemon says with a command.
type Order struct {
	By     string
	Reason string
	Agents []AgentID // that the pool has now; to start and to promote
	// Away are those of them that nothing can be done to now: they make no canaries.
	Away map[AgentID]bool
	Now  time.Time
}

func (o Order) hand(otherwise string) change {
	if o.Reason == "" {
		o.Reason = otherwise
	}
	return change{hand: true, by: o.By, reason: o.Reason, at: o.Now}
}

// Start begins to roll revision to out in the pool of r, its newest rollout, which must be over. salt is drawn at
// random by the caller. A revision that was rolled back may be started again by hand.
func (r Rollout) Start(to Revision, salt string, p Policy, o Order) (Rollout, error) {
	next := Rollout{
		Pool: r.Pool, Number: r.Number + 1, From: r.Pinned(), To: to, Salt: salt,
		Plan:    Plan{Named: slices.Clone(p.Plan.Named), Canaries: p.Plan.Canaries, Shares: slices.Clone(p.Plan.Shares)},
		Started: o.Now, Version: r.Version,
	}
	switch {
	case r.Open():
		return r, r.refuse("start", ErrUnderWay, "revision %s is %s: roll it back first", r.To.Short(), r.stands())
	case next.From == "":
		return r, r.refuse("start", ErrUnpinned, "it pins no revision yet: there is nothing to roll out from")
	case to == next.From || to == "":
		return r, r.refuse("start", ErrSameRevision, "it pins revision %s already", next.From.Short())
	}
	first := Canary
	if p.RehearsalRequired {
		first = Rehearsing
	}
	return next.enter(first, 0, o, o.hand("revision "+to.Short()+" is new"))
}

// Position is a revision and how far it has got, as somebody saw it.
type Position struct {
	Revision Revision // or its beginning
	Where    string   // as [Rollout.Where] spells it
}

// Position is where the rollout is.
func (r Rollout) Position() Position { return Position{Revision: r.To, Where: r.Where()} }

// Shortest is how much of a revision must be given at least.
const Shortest = 6

// is reports whether somebody who saw seen saw the rollout as it stands.
func (r Rollout) is(seen Position) bool {
	whole := seen.Revision == r.To || len(seen.Revision) >= Shortest && strings.HasPrefix(string(r.To), string(seen.Revision))
	return whole && seen.Where == r.Where()
}

// Promote moves the rollout on by one stage or share from where somebody saw it, whatever the evidence says. One that has gone
// on meanwhile is left alone: what came in between would be skipped, and nobody would have looked at it.
func (r Rollout) Promote(seen Position, o Order) (Rollout, error) {
	if err := r.goesOn("promote"); err != nil {
		return r, err
	}
	if !r.is(seen) {
		return r, r.refuse("promote", ErrChanged, "revision %s is at %s now, not %s at %s: look at it, and say that", r.To.Short(), r.Where(), seen.Revision.Short(), seen.Where)
	}
	stage, step := r.following()
	return r.enter(stage, step, o, o.hand("promoted by hand"))
}

// stands is what its revision is, in a sentence.
func (r Rollout) stands() string {
	if r.Stage == Canary || r.Stage == Share {
		return "at " + r.Where()
	}
	return r.Where()
}

// Pause keeps further agents from getting the new revision. Those that have it keep it.
func (r Rollout) Pause(o Order) (Rollout, error) {
	if err := r.goesOn("pause"); err != nil {
		return r, err
	}
	return r.pause(o.hand("paused by hand"))
}

// Resume lets a paused rollout go on where it was. Its stage begins anew: what was held against the revision before is
// known to whoever resumes it, and does not pause it again.
func (r Rollout) Resume(o Order) (Rollout, error) {
	switch {
	case r.Stage == Pinned:
		return r, r.refuse("resume", ErrNoRollout, "it has had none")
	case r.Stage != Paused:
		return r, r.refuse("resume", ErrNoRollout, "revision %s is %s, not paused", r.To.Short(), r.stands())
	}
	return r.enter(r.Before, r.Step, o, o.hand("resumed by hand"))
}

// Rollback gives all agents the old revision again: at any time while the rollout is under way, and after it is done as
// long as no newer one was started.
func (r Rollout) Rollback(o Order) (Rollout, error) {
	switch r.Stage {
	case Pinned:
		return r, r.refuse("roll back", ErrNoRollout, "it has had none")
	case RolledBack:
		return r, r.refuse("roll back", ErrOver, "revision %s is rolled back already: %s", r.To.Short(), r.Reason)
	case Rehearsing, Canary, Share, Paused, Done:
	}
	return r.rollBack(o.hand("rolled back by hand"))
}

// goesOn refuses a command that only a rollout in one of its working stages takes.
func (r Rollout) goesOn(command string) error {
	switch r.Stage {
	case Pinned:
		return r.refuse(command, ErrNoRollout, "it has had none")
	case Paused:
		return r.refuse(command, ErrPaused, "revision %s is paused because %s: resume it or roll it back", r.To.Short(), r.Reason)
	case Done, RolledBack:
		return r.refuse(command, ErrOver, "revision %s is %s since %s", r.To.Short(), r.Stage, r.Since.UTC().Format(time.RFC3339))
	case Rehearsing, Canary, Share:
	}
	return nil
}

// following is the stage and the share that come next.
func (r Rollout) following() (Stage, int) {
	switch {
	case r.Stage == Rehearsing:
		return Canary, 0
	case r.Stage == Canary && len(r.Plan.Shares) > 0:
		return Share, 0
	case r.Stage == Share && r.Step+1 < len(r.Plan.Shares):
		return Share, r.Step + 1
	}
	return Done, r.Step
}

// enter begins a stage, for the agents that the pool has.
func (r Rollout) enter(stage Stage, step int, o Order, c change) (Rollout, error) {
	next, err := r.to(stage, c)
	if err != nil {
		return r, err
	}
	next.Step, next.Before = step, ""
	next, _ = next.Refit(o.Agents, o.Away)
	return next, nil
}

func (r Rollout) pause(c change) (Rollout, error) {
	next, err := r.to(Paused, c)
	if err != nil {
		return r, err
	}
	next.Before = r.Stage
	return next, nil
}

func (r Rollout) rollBack(c change) (Rollout, error) {
	next, err := r.to(RolledBack, c)
	if err != nil {
		return r, err
	}
	next.Before = ""
	return next, nil
}
