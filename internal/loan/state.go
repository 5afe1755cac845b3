// SPDX-License-Identifier: Apache-2.0

package loan

import (
	"fmt"
	"time"
)

// State is the one stored field of a loan's life.
type State string

// The states. Their order is the order of a loan's life.
const (
	// Waiting: for an agent that is clean, idle and may be lent.
	Waiting State = "waiting"
	// Granted: it has an agent, which is dirty from here on, and is being brought to the borrower.
	Granted State = "granted"
	// Attached: the borrower has the agent.
	Attached State = "attached"
	// Returning: the borrower loses the agent, then it is cleaned.
	Returning State = "returning"
	// Cleaned: the agent is back, proven clean by the recipe of its pool, or on its way to that without us.
	Cleaned State = "cleaned"
	// Expired: no agent was found while the borrower would wait.
	Expired State = "expired"
	// Failed: the borrower never had the agent, or the agent could not be given back.
	Failed State = "failed"
)

// States lists all states in the order of a loan's life.
var States = []State{Waiting, Granted, Attached, Returning, Cleaned, Expired, Failed}

// Final reports whether nothing leads out of the state.
func (s State) Final() bool { return s == Cleaned || s == Expired || s == Failed }

// Edge is one permitted change of state, with the reason why it exists.
type Edge struct {
	From, To State
	Why      string
}

// Edges is the whole transition table; docs/loans.md has it.
var Edges = []Edge{
	{Waiting, Granted, "an agent was found that is clean and idle, within the borrower's quota and above the pool's floor; it is dirty from here on"},
	{Waiting, Expired, "no agent was found in the time that the borrower would wait"},
	{Waiting, Failed, "taken back by the borrower, or no agent can ever answer it"},
	{Granted, Waiting, "a build or a person came first; nothing was started, and the agent is cleaned"},
	{Granted, Attached, "the agent is online at the borrower, or a person has it"},
	{Granted, Returning, "not attached in time, refused, returned or expired before"},
	{Attached, Returning, "returned, expired, idle, called back, or lost"},
	{Returning, Cleaned, "the agent was proven clean again, or was withdrawn by a person"},
	{Returning, Failed, "the borrower never had the agent, which is clean again; or the agent is gone"},
}

// StateError is a change of state that the table does not have.
type StateError struct {
	Loan     string
	From, To State
}

func (e *StateError) Error() string {
	return fmt.Sprintf("loan %s: no way from %s to %s", e.Loan, e.From, e.To)
}

// CanGo reports whether the table has the edge.
func CanGo(from, to State) bool {
	for _, e := range Edges {
		if e.From == from && e.To == to {
			return true
		}
	}
	return false
}

// to returns the loan moved to a state, or a [*StateError].
func (l Loan) to(state State, reason string, now time.Time) (Loan, error) {
	if !CanGo(l.State, state) {
		return l, &StateError{Loan: l.ID, From: l.State, To: state}
	}
	l.State, l.Reason, l.Since = state, reason, now
	if state.Final() {
		l.Ended = now
	}
	return l, nil
}

// Grant gives a waiting loan its agent.
func (l Loan) Grant(a Agent, number int64, node Node, now time.Time) (Loan, error) {
	l, err := l.to(Granted, "granted "+a.Controller+"/"+a.Name, now)
	if err != nil {
		return l, err
	}
	l.Agent, l.Run, l.Node, l.Marked = a, Run{Number: number}, node, false
	l.Granted, l.Renewed, l.Until = now, now, now.Add(l.Lease.Term)
	return l, nil
}

// Ungrant gives the agent of a loan back of which nothing was started: it waits for another.
func (l Loan) Ungrant(reason string, now time.Time) (Loan, error) {
	l, err := l.to(Waiting, reason, now)
	if err != nil {
		return l, err
	}
	node := Node{Name: l.Node.Name}
	if !l.To.Own() {
		node.Name = ""
	}
	l.Agent, l.Run, l.Node, l.Marked = Agent{}, Run{}, node, false
	l.Granted, l.Until = time.Time{}, time.Time{}
	return l, nil
}

// Attach notes that the borrower has the agent.
func (l Loan) Attach(reason string, now time.Time) (Loan, error) {
	l, err := l.to(Attached, reason, now)
	if err != nil {
		return l, err
	}
	l.Attached, l.Renewed, l.IdleSince = now, now, time.Time{}
	return l, nil
}

// Return ends a loan, whatever state it is in: one that waits is taken out of the queue. A loan that is
// coming back already, or has, is left as it is, and that is no error.
func (l Loan) Return(cause Cause, reason string, now time.Time) (Loan, error) {
	state := Returning
	switch {
	case l.State == Returning || l.Over():
		return l, nil
	case l.State == Waiting && cause == ByPatience:
		state = Expired
	case l.State == Waiting:
		state = Failed
	}
	l, err := l.to(state, reason, now)
	if err != nil {
		return l, err
	}
	l.Cause, l.Returned = cause, now
	return l, nil
}

// Finish closes a loan whose agent has been dealt with: kept is false when it was lost for good.
func (l Loan) Finish(kept bool, reason string, now time.Time) (Loan, error) {
	state := Cleaned
	if !kept || l.Failure() {
		state = Failed
	}
	return l.to(state, reason, now)
}
