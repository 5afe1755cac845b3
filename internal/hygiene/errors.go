// SPDX-License-Identifier: Apache-2.0

package hygiene

import "errors"

// ErrStale means that a result belongs to another attempt, another agent or another time. It is
// recorded and otherwise ignored.
var ErrStale = errors.New("stale result")

// ErrOvertaken means that a person's word or a build came before the grant of an agent that was about
// to be called clean.
var ErrOvertaken = errors.New("overtaken")
