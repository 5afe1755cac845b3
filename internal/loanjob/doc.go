// SPDX-License-Identifier: Apache-2.0

// Package loanjob makes the job and the program that hold a loan on the lender's agent.
//
// An ordinary FreeStyle build of the lender takes the agent's executor for the whole loan. Its shell step is one POSIX
// shell program, [Program], which starts the borrower's agent program (agent.jar, over WebSocket), as an account of its
// own where one is given, and ends it with everything that it has started: when the build is stopped, when the borrower
// lets go, when the lender's agent dies, and at a hard limit, whoever else is dead by then. [ReadConsole] reads what it said.
// The same program holds a loan without a build, for who comes over SSH, and lets a person's key into the loan's account.
//
// Words: the holder is the process of the program while the loan lasts; the agent program is the borrower's.
//
// Invariants:
//
//   - The first act compares agent, controller and attempt with those that the loan was issued for. A refusal has
//     touched nothing.
//   - Nonce and secret stand in no argument and no environment of a living process, in no console before the last line
//     (the nonce) or at all (the secret), and on disk only as long as the agent program needs it, for its account alone.
//   - Whatever the borrower's side prints is passed on with a prefix, so that no line of it can pass for the program's own.
//   - What the loan started is marked by three variables that children inherit (PITCREW_LOAN, PITCREW_LENT_AGENT,
//     PITCREW_LENT_CONTROLLER); its end is told only after another look for everything that leads back to the agent
//     program or bears the mark, and the count of what stays is told with it. What has cast off both, the cleanup finds.
package loanjob
