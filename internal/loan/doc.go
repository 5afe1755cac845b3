// SPDX-License-Identifier: Apache-2.0

// Package loan decides about loans: agents of one Jenkins controller, the lender, that work for
// another, the borrower, for a limited time, or that a person has to himself.
//
// It is pure: standard library only, no I/O, and the time is always a parameter. The caller gives
// it what is stored about a loan ([Loan]), what was seen of both sides ([Sight]) and the [Policy]
// of the agent's pool; [Next] answers with one [Action] as data, with a reason. [Choose] says which
// of the waiting loans get which agents.
//
// Three rules carry everything:
//
//   - An agent on loan is dirty from before anything else happens to it until the production recipe
//     has proven it clean again, whatever died in between.
//   - A lease ends by the store and the clock alone ([Loan.Ends]): neither side has to live for it.
//   - The node at the borrower is deleted before the agent is cleaned. A borrower that does not
//     answer owes the deletion; cleaning then waits for the end of the borrowed program only.
package loan
