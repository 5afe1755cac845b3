// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// RuleError is a change that would break a rule of the store; nothing was stored. It is a
// mistake of the caller's, never of a person.
type RuleError struct {
	Agent hygiene.AgentID
	Rule  string // the rule, and how it would be broken
}

func (e *RuleError) Error() string { return fmt.Sprintf("agent %s: %s", e.Agent, e.Rule) }

// check holds the rules that every change keeps, whoever decided it.
func check(before, after Change, events int) error {
	a, b := before.Agent, after.Agent
	broken := func(rule string, args ...any) error {
		return &RuleError{Agent: a.ID, Rule: fmt.Sprintf(rule, args...)}
	}
	from, to := stored(a.State), stored(b.State)
	switch {
	case b.ID != a.ID:
		return broken("its change is stored under its own name, not as %s", b.ID)
	case from != to && !hygiene.CanGo(from, to):
		return &hygiene.StateError{Agent: a.ID, From: from, To: to}
	case from != to && events == 0:
		return broken("every change of state has its event; none from %s to %s", from, to)
	case b.Attempt < a.Attempt:
		return broken("the numbers of attempts ascend; got %d after %d", b.Attempt, a.Attempt)
	case b.Attempt == 0 && after.Attempt == nil && !to.InProgress():
		return nil
	case after.Attempt == nil || after.Attempt.Number != b.Attempt || after.Attempt.Agent != b.ID:
		return broken("its attempt must be number %d of this agent", b.Attempt)
	}
	t, old := *after.Attempt, before.Attempt
	switch {
	case b.Attempt > a.Attempt && old != nil && old.Ended.IsZero():
		return broken("at most one attempt is open; number %d is", old.Number)
	case b.Attempt > a.Attempt && t.Nonce == "":
		return broken("every attempt has a nonce; number %d has none", t.Number)
	case b.Attempt == a.Attempt && old != nil && t.Nonce != old.Nonce:
		return broken("an attempt keeps its nonce; that of number %d was changed", t.Number)
	case b.Attempt == a.Attempt && old != nil && !old.Ended.IsZero() && t.Ended.IsZero():
		return broken("what ended stays so; attempt %d was opened again", t.Number)
	case to.InProgress() && !t.Ended.IsZero():
		return broken("an agent that is %s has an open attempt; number %d has ended", to, t.Number)
	case !to.InProgress() && t.Ended.IsZero():
		return broken("an attempt ends when its agent leaves it; number %d is open, the agent is %s", t.Number, to)
	}
	return nil
}

// stored is the state as the transition table knows it.
func stored(s hygiene.State) hygiene.State {
	if s == "" {
		return hygiene.Unmanaged
	}
	return s
}
