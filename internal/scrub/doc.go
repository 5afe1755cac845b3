// SPDX-License-Identifier: Apache-2.0

// Package scrub does the hard parts of a recipe on the agent's machine: it finds what does not belong there, removes
// it, and looks again.
//
// A step is a goal state. Look says what deviates from the goal and changes nothing; Mend acts on that; and only
// another Look that finds nothing makes the step a success, whatever Mend believes. So gone already is success, a
// second run at once changes nothing and says so, and a plan is a Look whose findings are printed.
//
// Invariants:
//
//   - Nothing outside the declared ownership is deleted, ended or unmounted. Ownership is a path with its separator, a
//     user, a label, the pattern of a whole name; never a part of a command line.
//   - This program, its ancestors, the agent and the session it is reached by survive every step.
//   - What cannot be removed is named with the reason; an error is never swallowed.
//   - Every step ends when its context does.
package scrub
