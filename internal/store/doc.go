// SPDX-License-Identifier: Apache-2.0

// Package store keeps what pitcrew must not forget: agents, attempts, events, and what the
// daemon knows of controllers, slots, pauses, breakers, builds and tokens.
//
// An agent or attempt changes through one door, [Store.Change]: load, decide, check, write, in
// one transaction together with the event that tells of it. A change of state without an event,
// or along an edge that [hygiene.Edges] does not have, is refused; so is a second open attempt.
// What was committed survives the death of the process at any point.
//
// One process at a time owns a database file ([LockedError] says which). Every statement also
// runs on PostgreSQL; the words of SQLite alone are in open.go, inspect.go and backup.go.
// Because of the one process and the one door, agents are read from memory (book.go), which is
// what the file says at each moment.
//
// An epoch is one unbroken history of the file. A restored backup has lost what happened since,
// so opening it starts a new epoch, in which no earlier grant of clean counts.
//
// Times are given by the caller and kept in whole milliseconds, rounded up: a moment that
// outdates older sightings must not move before them. A zero time stays one.
package store
