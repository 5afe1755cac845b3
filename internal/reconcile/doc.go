// SPDX-License-Identifier: Apache-2.0

// Package reconcile services the agents of one controller: it compares what is stored with what
// a poll saw, lets the domain decide, and carries the decisions out.
//
// A [Crew] serves one controller. Its duties, one file each, in the order in which a cleanup
// meets them:
//
//  1. own: prove that this daemon, and no other, services the controller (own.go);
//  2. observe: one request for all agents and one for the queue per interval (observe.go);
//  3. decide: [hygiene.Next] for every agent, [hygiene.Schedule] for those that could begin
//     (decide.go);
//  4. repair: labels that say something else than the store; always towards dirty (repair.go);
//  5. claim: attempt N+1 is stored, dirty written and read back, idleness looked at again
//     (claim.go), the program handed over (hand.go, slot.go, remote.go);
//  6. run: follow the program by the shared polls to its end (run.go);
//  7. finish: read the report, judge it, write clean (finish.go);
//  8. rescue: a new agent process or a reboot between two runs of one attempt (reconnect.go), and
//     after a restart of the daemon whatever was under way (rescue.go);
//  9. contain: learn which builds used an agent, and report those that should not have
//     (contain.go); stop a recipe revision that fails on many agents, and raise the alarm for a
//     pool that nothing cleans (alarm.go).
//
// Everything is level-based: an attempt is driven by its key, each step reads the stored row,
// does one thing, and stores the result behind the row's version. Losing every wake-up only
// costs time, because each poll enqueues every attempt again. No lock is held over a request.
package reconcile
