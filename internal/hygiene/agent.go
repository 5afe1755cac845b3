// SPDX-License-Identifier: Apache-2.0

package hygiene

import "time"

// Need says how much of the recipe the next attempt must run.
type Need string

const (
	// NeedCleanup is all phases. The agent was used, or nobody knows.
	NeedCleanup Need = "cleanup"
	// NeedVerify is the verify phase alone, which is proof enough: it was proven clean and nothing is known
	// to have run since its clean phase (too old, or its connection was lost). A failed verification
	// turns into NeedCleanup, and so does a real build or a person's order, see [Agent.NeedAll].
	NeedVerify Need = "verify"
)

// Agent is what is stored about one agent.
type Agent struct {
	ID    AgentID
	Pool  string
	State State
	Since time.Time // when State was entered

	Need    Need
	Depth   Depth  // that a person asked for, until a cleanup of it succeeds; "" = as its pool has it
	Reason  string // why it is in State, in words
	Attempt int64  // number of its newest attempt; 0 before the first
	Epoch   string // store epoch in which it was last granted clean

	Failures    int       // consecutive failed attempts
	NextLook    time.Time // not claimed before; zero means now
	LastServed  time.Time // start of its newest attempt
	LastCleaned time.Time // when clean was last granted
	LabelsAt    time.Time // our last write of its labels; older sightings say nothing about them
	Settled     string    // controller session in which it is known that no earlier build lives on

	Machine    string // machine id from the last report; "" unknown
	Host       string // name of its host from the last report
	Boots      Boots
	Quarantine *Quarantine
	Hold       *Hold
	Loan       *Loan // nil = it is not on loan
	Used       *Use
	Stuck      *Stuck    // its labels cannot be written; nil = they can, as far as is known
	Adopted    time.Time // when it came into our care last, by the controller's clock
	// Mark is the text of a node monitor's offline mark that was lifted for a cleanup; "" = none. It is
	// owed until a cleanup succeeds: the agent must not run short of space because we took the mark away.
	Mark string

	Version int64 // of the stored row; 0 = not stored
}

// Quarantine keeps an agent out after failures.
type Quarantine struct {
	Reason   string    `json:"reason"`
	Since    time.Time `json:"since"`
	NextLook time.Time `json:"next_look"` // one attempt is made again from then on
	By       string    `json:"by"`        // "pitcrew" or a person
}

// byUs is who puts agents into quarantine by the rules of their pool.
const byUs = "pitcrew"

// byPerson reports whether a person put the agent there: then only a person, or the time that the
// person gave, ends it.
func (q *Quarantine) byPerson() bool { return q != nil && q.By != byUs }

// untilReleased is so far away that only a release ends such a quarantine.
const untilReleased = 100 * 365 * 24 * time.Hour

// UntilReleased is the next look of a quarantine that begins at now and ends only when the agent is released.
func UntilReleased(now time.Time) time.Time { return now.Add(untilReleased) }

// Endless reports whether only a release ends the quarantine.
func (q *Quarantine) Endless() bool {
	return q != nil && q.NextLook.Sub(q.Since) >= untilReleased
}

// Hold is an agent kept out by a person, until it is released or expires.
type Hold struct {
	Reason  string    `json:"reason"`
	By      string    `json:"by"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires"`
}

// Use is the newest real build known to have started on an agent.
type Use struct {
	URL  string    `json:"url"`            // "" = not known yet, and Item is
	At   time.Time `json:"at"`             // by the controller's clock when its record was read, else when seen
	Item int64     `json:"item,omitempty"` // queue id, where a gate told of it; 0 once its URL is known, or never will be
	// Attempt gave the cleanliness that the build took, while its URL is not known.
	Attempt int64 `json:"attempt,omitempty"`
}

// Hygiene is the derived axis of what the agent is worth to a job.
type Hygiene string

// The values of the hygiene axis.
const (
	IsUnmanaged   Hygiene = "unmanaged"
	IsDue         Hygiene = "due"
	IsCleaning    Hygiene = "cleaning"
	IsClean       Hygiene = "clean"
	IsQuarantined Hygiene = "quarantined"
)

// Hygiene derives the axis. A quarantined agent that is being looked at again is cleaning.
func (a Agent) Hygiene() Hygiene {
	switch {
	case a.State == Unmanaged || a.State == "":
		return IsUnmanaged
	case a.State.InProgress():
		return IsCleaning
	case a.State == Clean:
		return IsClean
	case a.Quarantine != nil:
		return IsQuarantined
	default:
		return IsDue
	}
}

// Managed reports whether the agent is pitcrew's to write to.
func (a Agent) Managed() bool { return a.State != "" && a.State != Unmanaged }

// Held returns the hold that is in force at now, if any.
func (a Agent) Held(now time.Time) *Hold {
	if a.Hold == nil || !a.Hold.Expires.IsZero() && !now.Before(a.Hold.Expires) {
		return nil
	}
	return a.Hold
}

// KeptOut says why a person keeps the agent out of use at now, "" when nobody does.
func (a Agent) KeptOut(now time.Time) string {
	if h := a.Held(now); h != nil {
		return "held: " + h.Reason
	}
	if q := a.Quarantine; q.byPerson() && now.Before(q.NextLook) {
		return "quarantined by " + q.By + ": " + q.Reason
	}
	return ""
}

// out says why an agent that is due is not in use: what keeps it out, or else what made it due.
func (a Agent) out(now time.Time) string {
	if why := a.KeptOut(now); why != "" {
		return why
	}
	if a.Quarantine != nil {
		return "quarantined: " + a.Quarantine.Reason
	}
	return a.Reason
}

// To returns the agent moved to state, or a [*StateError] when the table has no such edge.
// Moving to the state it is in only changes the reason.
func (a Agent) To(state State, reason string, now time.Time) (Agent, error) {
	from := a.State
	if from == "" {
		from = Unmanaged
	}
	if from != state {
		if !CanGo(from, state) {
			return a, &StateError{Agent: a.ID, From: from, To: state}
		}
		a.Since = now
	}
	a.State, a.Reason = state, reason
	return a, nil
}

// NeedAll notes that verification alone proves nothing any more: something real has run since the
// clean phase, or a person asked for it. An attempt that only verifies is not granted from then on. It
// reports whether that is news.
func (a *Agent) NeedAll() bool {
	news := a.Need == NeedVerify
	a.Need = NeedCleanup
	return news
}

// AskDepth notes how deep a person wants the agent cleaned: from the next attempt on, until one that is at
// least as deep succeeds. The newest word counts; "" leaves an earlier one standing.
func (a *Agent) AskDepth(d Depth) {
	if d != "" {
		a.Depth = d
	}
}

// Leave returns the agent out of our care. What a person said of it stays for when it comes back.
func (a Agent) Leave(reason string, now time.Time) (Agent, error) {
	a, err := a.To(Unmanaged, reason, now)
	if err != nil {
		return a, err
	}
	a.Failures, a.NextLook, a.LabelsAt, a.Stuck = 0, time.Time{}, now, nil
	if a.Quarantine.byPerson() {
		a.NextLook = a.Quarantine.NextLook
	} else {
		a.Quarantine = nil
	}
	return a, nil
}

// Project says which of our labels the agent must show, were it seen at now.
func Project(a Agent, now time.Time) Labels {
	switch a.State {
	case Clean:
		return ShowClean
	case Claimed, Running, Reconnecting, Granting:
		return ShowDirty
	case Due:
		if a.Failures > 0 || a.Quarantine != nil || a.Held(now) != nil || a.Loan != nil {
			return ShowDirty
		}
		return ShowDue
	case Unmanaged:
		return 0
	}
	return 0
}

// Attempt is one numbered try to run a recipe on one agent. Number and Nonce are its fencing
// token: no result counts that does not carry both.
type Attempt struct {
	Agent    AgentID
	Number   int64
	Nonce    string
	Pool     string
	Recipe   string
	Revision string
	Need     Need
	Depth    Depth // that its program was asked for; "" = claimed by a version that did not record it
	Delivery Delivery

	Session   string    // controller session (X-Jenkins-Session) when it was claimed
	Claimed   time.Time // when it was stored
	Handed    time.Time // when its hand-over was begun, then when it was done; zero before
	Started   time.Time // when the program was first known to run; zero before
	Ended     time.Time // zero while in progress
	Proved    time.Time // when a report of this attempt said cleaned and verified
	Began     time.Time // when its hand-over was begun last, by the controller's clock
	Lost      time.Time // when the cleanliness that it gave was lost, by the controller's clock; zero = it was not
	UsedBy    string    // the build that took it, where a poll or a feed showed one
	Reconnect int       // reconnects and reboots so far
	Asked     Outcome   // reconnect or reboot, while State is Reconnecting

	Outcome Outcome // "" while in progress
	Reason  string
	Step    string // the failing step

	Run Run
}

// Lose notes that the cleanliness that the attempt gave was lost at a time, by the controller's clock:
// to the build with the URL usedBy, or to something else.
func (t *Attempt) Lose(at time.Time, usedBy string) {
	t.Lost, t.UsedBy = at, usedBy
}

// Suit makes an attempt what its agent a needs by now: all phases, and the depth that a person asked for.
// Once a program was handed over, what the attempt is for does not change any more.
func (t *Attempt) Suit(a Agent) {
	if !t.Began.IsZero() {
		return
	}
	if a.Need == NeedCleanup {
		t.Need = NeedCleanup
	}
	if a.Depth != "" {
		t.Depth = a.Depth
	}
}

// Run is where an attempt's program runs.
type Run struct {
	Job     string `json:"job,omitempty"`      // full name of the job that carries it
	QueueID int64  `json:"queue_id,omitempty"` // 0 before it was queued
	Build   int64  `json:"build,omitempty"`    // 0 before it started
	URL     string `json:"url,omitempty"`
	Intent  bool   `json:"intent,omitempty"` // a hand-over was begun; look for it before another
	BootID  string `json:"boot_id,omitempty"`
	Process string `json:"process,omitempty"` // agent process: pid and start time as reported
	// Kicked is when the agent was disconnected or launched for a new session, Away when it was
	// then first seen without a connection.
	Kicked time.Time `json:"kicked,omitzero"`
	Away   time.Time `json:"away,omitzero"`
	// Used is a real build that was seen on the agent between the clean phase's end and the grant.
	Used string `json:"used,omitempty"`
	// LetIn says that the label clean was shown by then: the grant, which the controller had not answered yet, let it in.
	LetIn bool `json:"let_in,omitempty"`
	// Swept is the run of the clean phase of an attempt that went on in a new session.
	Swept Swept `json:"swept,omitzero"`
}

// Swept is a run of the clean phase: builds since are not undone by a verification.
type Swept struct {
	Began time.Time `json:"began,omitzero"` // by the controller's clock
	URL   string    `json:"url,omitempty"`  // of its build, "" over SSH
}

// Delivery is the way a program reaches an agent's machine.
type Delivery string

// The deliveries.
const (
	ByJob Delivery = "job"
	BySSH Delivery = "ssh"
)
