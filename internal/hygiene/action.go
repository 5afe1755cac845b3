// SPDX-License-Identifier: Apache-2.0

package hygiene

import "time"

// Kind is what an [Action] asks for.
type Kind string

// The kinds of action.
const (
	// Rest: nothing to do; Wake says when to look again if nothing changes before.
	Rest Kind = "rest"
	// Adopt: start managing the agent.
	Adopt Kind = "adopt"
	// Withdraw: stop managing it; our labels are taken off once, an attempt is abandoned.
	Withdraw Kind = "withdraw"
	// Forget: it does not exist any more; nothing is written to it.
	Forget Kind = "forget"
	// Unclean: it is clean no longer.
	Unclean Kind = "unclean"
	// Relabel: its labels differ from what they must show; the state stays.
	Relabel Kind = "relabel"
	// Begin: a cleanup may start, if the caps allow it.
	Begin Kind = "begin"
	// Refresh: a clean agent is to be verified again, if caps and capacity floor allow it.
	Refresh Kind = "refresh"
	// Launch: have Jenkins launch the agent, if the queue wants more clean ones.
	Launch Kind = "launch"
	// Unmark: lift an offline mark of our own that nothing needs any more.
	Unmark Kind = "unmark"
	// Remark: put back the offline mark of a node monitor that was lifted for a cleanup.
	Remark Kind = "remark"
	// Stop: a cleanup that belongs to no attempt any more runs on it and is to be stopped.
	Stop Kind = "stop"
	// Drive: an attempt owns the agent; its next step is the attempt's business.
	Drive Kind = "drive"
)

// Action is one decision as data. It can be logged, shown, printed by a dry run and compared in
// a test; carrying it out twice is harmless.
type Action struct {
	Kind   Kind
	Agent  AgentID
	Reason string

	Labels Labels // what to write, when Write
	Write  bool
	Need   Need // of a due agent
	Edited bool // for Unclean: somebody else changed our labels

	Displace []string // neighbours whose clean must be taken first
	Lift     bool     // a mark for a monitor's reason must be lifted for the attempt
	SSH      bool     // the attempt must go over SSH, whatever the pool prefers

	Wake time.Time // for Rest: look again then; zero = only when something changes
}
