// SPDX-License-Identifier: Apache-2.0

// Package gatemodel is the gate of pitcrew in Go: the same rules, requests and answers as the Groovy file that runs inside a
// real Jenkins, for simulations of one.
//
// It is written from the rules, not from the Groovy, and shares nothing with it but the tests: those of package gate run
// against both, so that they cannot drift. What it knows of Jenkins comes through the interfaces [Jenkins], [Node] and
// [Computer]; a computer, a connection and an executor are told from their successors by number.
//
// A [Ledger] is what a gate knows; it lives as long as the process of Jenkins. A [Gate] is one registered copy of the rules,
// which a later copy may replace without losing the ledger. Whoever calls holds Jenkins' queue lock, as the hooks of Jenkins
// do, and must for [Gate.Status] and [Gate.Do]; [Gate.Events] alone waits, and takes the lock itself when it has to.
package gatemodel
