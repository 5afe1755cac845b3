// SPDX-License-Identifier: Apache-2.0

package hygiene

import (
	"cmp"
	"fmt"
)

// GateMode says what keeps builds off agents that are not clean.
type GateMode string

// The modes of a controller.
const (
	// NoGate: labels alone.
	NoGate GateMode = ""
	// GateUp: a gate inside the controller refuses to start builds, and holds a ledger.
	GateUp GateMode = "up"
	// GateLost: there was one, and it does not answer. Nothing is clean until it does, or until somebody says that it is gone
	// for good.
	GateLost GateMode = "lost"
)

// Gate is what a controller's gate holds of one agent. Its ledger is empty after each start of the controller.
type Gate struct {
	Mode    GateMode
	Problem string // why it is lost
	Away    bool   // for some time nothing is known to have refused builds: now that it is lost, or before its ledger began
	State   Ledger
	Attempt int64  // newest that claimed the agent, 0 = none
	Item    int64  // queue id of the build that used it, 0 = unknown
	Build   string // URL of that build, "" = not known (yet)
	Drift   string // what changed since it was granted, "" = nothing
	Why     string // it is unknown
	Listed  bool   // it is the gate's: it has the label cleanable, or the ledger has it
}

// Ledger is the state of an agent in the gate's ledger.
type Ledger string

// The states of the ledger. Unknown is also the state of an agent that is not in it.
const (
	LedgerUnknown Ledger = "unknown"
	LedgerClaimed Ledger = "claimed"
	LedgerClean   Ledger = "clean"
	LedgerUsed    Ledger = "used"
	LedgerHeld    Ledger = "held"
)

// open reports whether the gate takes the agent for clean, for whatever attempt.
func (g Gate) open() bool { return g.Mode == GateUp && g.State == LedgerClean }

// unclean says why the gate does not let a build start on an agent that the store has as clean, and how much of the
// recipe is due then; "" if it lets one start, or is about to notice that it did.
func (g Gate) unclean(a Agent) (reason string, need Need) {
	switch {
	case g.Mode != GateUp:
		return "", ""
	case g.State == LedgerUsed:
		return "used by " + cmp.Or(g.Build, fmt.Sprintf("the build with queue id %d", g.Item)) + ", as the gate says", NeedCleanup
	case g.State == LedgerUnknown && g.Attempt == 0 && g.Away:
		return "the controller's gate knows nothing of it, and was not there from the start", NeedCleanup
	case g.State == LedgerUnknown && g.Attempt == 0:
		return "the controller's gate knows nothing of it, as after a restart", NeedVerify
	case g.State == LedgerUnknown:
		return "the gate gave it up: " + g.Why, NeedVerify
	case g.State != LedgerClean || g.Attempt != a.Attempt:
		return fmt.Sprintf("the gate has it as %s by attempt %d, not as clean by attempt %d", g.State, g.Attempt, a.Attempt), NeedCleanup
	}
	switch g.Drift {
	case "", "busy", "label": // an idle agent and its labels are looked at anyway
		return "", ""
	case "connection", "computer", "gone":
		return "the gate says that its connection is another one", NeedVerify
	}
	return "the gate says that it changed since it was cleaned: " + g.Drift, NeedCleanup
}
