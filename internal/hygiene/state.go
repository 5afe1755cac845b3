// SPDX-License-Identifier: Apache-2.0

package hygiene

import "fmt"

// State is the one stored field of an agent's life. What time or facts can tell (backing off,
// quarantined, held, busy, offline) is derived and never stored here.
type State string

// The states. Their order is the order of an agent's life.
const (
	// Unmanaged: without the label cleanable, or withdrawn, or gone. We write nothing there.
	Unmanaged State = "unmanaged"
	// Due: used, new, failed or of unknown state. Nothing real may run here.
	Due State = "due"
	// Claimed: an attempt is stored; the label dirty is being written and proved, and the
	// program is being dispatched.
	Claimed State = "claimed"
	// Running: the program was handed over and has not been seen to end.
	Running State = "running"
	// Reconnecting: the program asked for a new agent process or a reboot; the verify phase
	// runs in the new session.
	Reconnecting State = "reconnecting"
	// Granting: proven clean by the current attempt; the label clean is being written.
	Granting State = "granting"
	// Clean: granted and read back. One real build may take it.
	Clean State = "clean"
)

// States lists all states in the order of an agent's life.
var States = []State{Unmanaged, Due, Claimed, Running, Reconnecting, Granting, Clean}

// Edge is one permitted change of state, with the reason why it exists.
type Edge struct {
	From, To State
	Why      string
}

// Edges is the whole transition table; docs/state.md is generated from it.
var Edges = []Edge{
	{Unmanaged, Due, "somebody put the label cleanable on the agent"},
	{Due, Claimed, "chosen for a cleanup: attempt N+1 with a fresh nonce is stored first"},
	{Due, Unmanaged, "the label cleanable was removed, or the agent is gone"},
	{Claimed, Due, "given back: a build sneaked in, the label did not stick, or the queue was too slow"},
	{Claimed, Running, "the program was handed over (a queued build, or an SSH session)"},
	{Claimed, Unmanaged, "withdrawn before the program ran"},
	{Running, Granting, "the report of the current attempt says cleaned and verified"},
	{Running, Reconnecting, "the program asked for a reconnect or a reboot"},
	{Running, Due, "failed, lost, stopped at its limit, or without a report that proves success"},
	{Running, Unmanaged, "withdrawn while the program ran; it is stopped"},
	{Reconnecting, Running, "the agent is back in a new session; the verify phase runs there"},
	{Reconnecting, Due, "the agent did not come back in time"},
	{Reconnecting, Unmanaged, "withdrawn while the agent was away"},
	{Granting, Clean, "the label clean was written and read back on the same connection"},
	{Granting, Due, "the connection changed, a build sneaked in, or somebody edited the labels"},
	{Granting, Unmanaged, "withdrawn before the label clean was written"},
	{Clean, Due, "used by a build, too old, disconnected, edited by somebody, held, or asked for"},
	{Clean, Unmanaged, "the label cleanable was removed, or the agent is gone"},
}

// StateError is a change of state that the transition table does not have.
type StateError struct {
	Agent    AgentID
	From, To State
}

func (e *StateError) Error() string {
	return fmt.Sprintf("agent %s: no way from %s to %s", e.Agent, e.From, e.To)
}

var edges = func() map[[2]State]bool {
	m := make(map[[2]State]bool, len(Edges))
	for _, e := range Edges {
		m[[2]State{e.From, e.To}] = true
	}
	return m
}()

// CanGo reports whether the table has the edge.
func CanGo(from, to State) bool { return edges[[2]State{from, to}] }

// InProgress reports whether an attempt owns the agent in this state.
func (s State) InProgress() bool {
	switch s {
	case Claimed, Running, Reconnecting, Granting:
		return true
	case Unmanaged, Due, Clean:
		return false
	}
	return false
}
