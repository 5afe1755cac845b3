// SPDX-License-Identifier: Apache-2.0

package hygiene

import (
	"fmt"
	"time"
)

// Loan says that an agent is on loan: it is dirty, and left alone until it is back. What becomes of the loan is the
// business of package loan.
type Loan struct {
	ID       string    `json:"id"`
	Borrower string    `json:"borrower"`
	Since    time.Time `json:"since"`
	// Number fences the loan's build at a gate, as that of an attempt does a cleanup's: it is above those of all
	// attempts before, and those after are above it.
	Number int64 `json:"number"`
	// Depth is how deep it is cleaned after its return, where that is deeper than usual; "" = as its pool has it.
	Depth Depth `json:"depth,omitempty"`
}

// Lend takes a clean agent out of its controller's use. Only a clean one may be lent: what a borrower leaves behind must
// not be mistaken for what was there before.
func Lend(a Agent, l Loan, now time.Time) (Agent, error) {
	if a.State != Clean || a.Loan != nil {
		return a, &StateError{Agent: a.ID, From: a.State, To: Due}
	}
	a, err := a.To(Due, "on loan to "+l.Borrower, now)
	if err != nil {
		return a, err
	}
	a.Loan, a.Need, a.NextLook, a.Failures = &l, NeedCleanup, time.Time{}, 0
	return a, nil
}

// Return ends the loan that the agent is on: it is due. One that left our care meanwhile only loses the loan.
func (a Agent) Return(reason string, now time.Time) Agent {
	if a.Loan != nil {
		a.AskDepth(a.Loan.Depth)
	}
	a.Loan = nil
	if a.State == Due {
		a.Reason, a.Since, a.Need, a.NextLook = reason, now, NeedCleanup, time.Time{}
	}
	return a
}

// onLoan keeps an agent that is lent where it is.
func (a Agent) onLoan() Action {
	return rest(fmt.Sprintf("on loan to %s (loan %s)", a.Loan.Borrower, a.Loan.ID))
}
