// SPDX-License-Identifier: Apache-2.0

package loan

import "time"

// Policy is how a pool lends its agents.
type Policy struct {
	// Most is how many may be on loan at once; 0 = the pool does not lend.
	Most int
	// Floor is how many clean agents remain for the lender's own builds.
	Floor int
	// Recall calls agents back that have been idle for so long while the lender is short; 0 = never.
	Recall time.Duration
	// Return is how long a return may take until people are told; 0 = never.
	Return time.Duration
}

const (
	// owing is how long a return waits for a borrower that does not answer before the deletion is owed.
	owing = 10 * time.Second
	// unproved is how long a return waits for a borrower that does not answer when the program left no proof of its end:
	// one whose lender's agent has ended sees that itself, and ends, in a fraction of it.
	unproved = 30 * time.Second
	// parting is how long the program is given to end by itself once its node is gone: it does not reconnect.
	parting = 3 * time.Second
)

// lookAgain is the longest time for which a loan that is not over goes without a look.
const lookAgain = 10 * time.Second
