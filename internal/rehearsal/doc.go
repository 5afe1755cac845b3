// SPDX-License-Identifier: Apache-2.0

// Package rehearsal runs a candidate recipe on borrowed agents before production sees it.
//
// It is a client of two sides: of a lender's daemon, by the [Desk], and of a controller that is there for the rehearsal
// alone. For each agent of a representative set ([Choose]) it makes a node at that controller, borrows the agent for it,
// and runs programs there as builds: the production recipe's for comparison; the candidate's on the agent as it is, again
// at once, after a mess, and after runs that were stopped and killed in the middle. Then it returns everything.
//
// Words: a bench is one borrowed agent with its node; a case is one thing that is tried there, and is judged; a fault is
// what the candidate did wrong, in contrast to an error, which says that it could not be tried.
//
// Invariants:
//
//   - Whatever is made is written down first, and undone in the opposite order in every case: at the end, after an error
//     or a panic, and when ctx ends. What could not be undone is told, with where it is.
//   - Loans are asked for with a TTL and renewed while the rehearsal lives: one that is killed loses them.
//   - No agent is asked for below the capacity floor of its pool, and none for a candidate that asks for root where the
//     pool does not let it.
//   - A secret is in no result, no message and no error.
package rehearsal
