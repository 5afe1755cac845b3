// SPDX-License-Identifier: Apache-2.0

// Package hygiene decides when an agent is cleaned, when it may be called clean, and why.
//
// It is pure: standard library only, no I/O, and the time is always a parameter. The caller
// gives it what is stored about an agent ([Agent], [Attempt]), what a poll of its controller
// saw ([Sighting]) and the [Policy] of its pool; [Next] answers with one [Action] as data,
// with a reason. Acting on it is somebody else's work.
//
// Three ideas carry everything:
//
//   - The store is the truth; the labels `cleanable`, `dirty` and `clean` are its projection
//     ([Project]). Repair only ever goes towards dirty: a `clean` that was not granted here is
//     taken away, it is never put back.
//   - An attempt is numbered and carries a random nonce. Number and nonce together are the
//     fencing token: a result that does not bear both is recorded and ignored ([Judge]).
//   - Only one field of an agent is stored state ([State], with the transition table in
//     state.go). Everything that time or facts can tell is derived: see [Agent.Hygiene] and
//     [Sighting.Occupancy].
package hygiene
