// SPDX-License-Identifier: Apache-2.0

package hygiene

import "errors"

// ErrStale means that a result belongs to another attempt, another agent or another time. It is
// recorded and otherwise ignored.
var ErrStale = errors.New("stale result")

// ErrKeptOut means that a person keeps an agent out of use that was about to be called clean.
var ErrKeptOut = errors.New("a person keeps the agent out of use")
