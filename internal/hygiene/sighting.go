// SPDX-License-Identifier: Apache-2.0

package hygiene

import "time"

// Sighting is what one poll of a controller saw of one agent, in the words of this package.
type Sighting struct {
	At      time.Time // when the request was sent: what is younger it cannot know
	Session string    // controller session (X-Jenkins-Session)
	// SessionSince is when a change to this session was noticed; zero when no change was.
	SessionSince time.Time
	// Quiet: the newest look before that change saw no build on it.
	Quiet bool

	Present bool // it was in the list; absence alone proves nothing
	Gone    bool // a direct look says that it does not exist
	BuiltIn bool // the built-in node
	// Refused is why it cannot be managed, "" when it can: Jenkins shows one of our labels that can neither be given
	// nor taken. None counts as ours then.
	Refused string
	Labels  Labels

	Idle    bool // every executor and one-off executor idle
	Real    bool // a real build is visible on an executor
	RealURL string
	Own     bool // a cleanup of ours is visible on an executor
	Hidden  bool // busy with something that we may not or cannot yet see
	BusyFor time.Duration

	Offline   bool // no build can start here
	OfflineBy OfflineBy
	Reached   bool // it has a live connection (temporarily offline agents do)

	Launchable bool   // Jenkins can launch it itself
	Unfit      string // why it may not be granted clean on this controller, "" when fit

	Gate      Gate
	Awaited   bool // the queue holds a continued or self-label item for it
	Neighbour Neighbours
}

// OfflineBy says who or what took an agent offline.
type OfflineBy string

// The makers of an offline mark.
const (
	OnlineNow    OfflineBy = ""
	ByConnection OfflineBy = "connection" // lost, never had, or launch failed
	ByDemand     OfflineBy = "demand"     // idle agents of the demand strategy
	ByMonitor    OfflineBy = "monitor"    // a node monitor that misses disk space, which a cleanup may give back
	ByHealth     OfflineBy = "health"     // any other node monitor (clock, response time, ...): no cleanup helps
	ByPerson     OfflineBy = "person"
	ByUs         OfflineBy = "pitcrew" // our own mark, recognised by its message
	// ByLoan: our own mark of a loan. It stays when the loan is over, and is lifted for the cleanup that follows.
	ByLoan OfflineBy = "loan"
)

// Neighbours sums up the other agents of the same machine that share its processes and files.
type Neighbours struct {
	Real     string   // one that runs a real build, "" none
	Cleaning string   // one that is being cleaned (granting not counted)
	Clean    []string // all that are clean
	Waiting  string   // one that is due and could be claimed now
	Leaving  string   // one that is due but still wears the label clean
	Unseen   string   // one whose controller has not been looked at since the daemon's start
	Names    []string // all that the same controller has
}

// Occupancy is the derived axis of what the agent is doing.
type Occupancy string

// The values of the occupancy axis.
const (
	IsIdle     Occupancy = "idle"
	IsBusy     Occupancy = "busy"
	IsOffline  Occupancy = "offline"
	IsSetAside Occupancy = "offline by a person"
	IsUnseen   Occupancy = "unseen"
	IsOnLoan   Occupancy = "on loan"
)

// Occupancy derives the axis. A loan wins over all: the build that holds it says nothing. Busy wins over offline: a build
// goes on when its agent is marked.
func (a Agent) Occupancy(s Sighting) Occupancy {
	switch {
	case a.Loan != nil:
		return IsOnLoan
	case !s.Present:
		return IsUnseen
	case !s.Idle:
		return IsBusy
	case s.Offline && s.OfflineBy == ByPerson:
		return IsSetAside
	case s.Offline:
		return IsOffline
	default:
		return IsIdle
	}
}
