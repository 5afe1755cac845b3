// SPDX-License-Identifier: Apache-2.0

package loan

import "time"

// Sight is what was seen of both sides of a loan.
type Sight struct {
	Lender   Lender
	Program  Program
	Borrower Borrower

	// Wanted: the queue of the lender wants more clean agents than there are or will be soon, and this one before those of
	// other loans.
	Wanted bool
	// Released: the agent is not stored as on loan any more.
	Released bool
	// Back: since then it was proven clean.
	Back bool
}

// Lender is what was seen of the agent at its own controller.
type Lender struct {
	At      time.Time // when the newest look was begun; zero = none yet
	Answers bool      // that look is not older than a few polls
	Present bool
	Gone    bool   // a direct look says that it does not exist
	Managed bool   // it is in our care
	Real    string // a build on it that is not ours, "" none
	Marked  bool   // our offline mark is on it
	Kept    string // why a person keeps it out of use (another's offline mark), "" when nobody does
}

// Stage is how far the program is that holds the loan on the lender's agent.
type Stage string

// The stages of the program.
const (
	ProgramNone    Stage = ""        // not handed over, or nobody knows yet
	ProgramQueued  Stage = "queued"  // its build waits
	ProgramRunning Stage = "running" // or was when last seen
	ProgramEnded   Stage = "ended"
)

// Program is what was seen of it.
type Program struct {
	Stage Stage
	// Says is how it ended, or why it refused.
	Says string
	// By is what ended it, "" when that is not known.
	By Cause
	// Refused: it ended before it started anything.
	Refused bool
	// Proof is why nothing of it can live any more, "" when it left no proof.
	Proof   string
	Account string
	Started bool // the borrower, or the person, has what was lent
}

// Borrower is what was seen of the node at the borrower.
type Borrower struct {
	At      time.Time // when it was looked at; zero = never
	Answers bool
	Problem string // why it does not
	There   bool
	Online  bool
	Idle    bool
}
