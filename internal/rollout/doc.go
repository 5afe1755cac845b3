// SPDX-License-Identifier: Apache-2.0

// Package rollout decides which recipe revision an agent of a pool gets while the pool moves from one
// revision to the next, when the next one may go to more agents, and when it must not.
//
// It is pure: standard library only, no I/O, the time is always a parameter, and so is what is drawn at random
// (the salt of a rollout). The caller gives it what is stored about a rollout ([Rollout]), what ended cleanups,
// builds and the rehearsal tell ([Evidence]) and the [Policy] of the pool; [Next] answers with one [Decision] as
// data, with a reason and the evidence. [Apply] carries a decision out on the stored facts; the commands of people
// ([Rollout.Promote] and its like) go through the same door.
//
// Its words: a revision is the content address of a compiled recipe. A pool pins one revision; a rollout moves the
// pin from one to another. It ends in done, which pins the new one, or rolled back, which pins the old one again.
//
// Four ideas carry everything:
//
//   - Only one field of a rollout is stored state ([Stage], with the transition table in stage.go).
//   - Who gets the new revision is a property of the rollout and of the agent's name alone: the canaries are stored
//     names, a share is a bound on the agent's place in an order that the salt draws. Both only grow, so that no agent
//     goes back and forth, whatever joins the pool, leaves it, or is asked first.
//   - A failure is the revision's or the agent's ([Attribute]). What an agent is to blame for does not weigh against
//     a revision, and what fails with every revision weighs against none.
//   - A number of failures counts against a revision only when chance hardly explains it (exact.go). What is not told
//     yet holds a promotion up, and not longer than the pool's patience.
package rollout
