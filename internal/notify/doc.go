// SPDX-License-Identifier: Apache-2.0

// Package notify tells people and programs about changes of state, through webhooks and commands.
//
// A Notice is one change. The Outbox holds all notices in their order; a Sink is one receiver with a Filter and a Sender, and a position in the
// outbox that is its own. Notifier.Run moves every sink forward, each at its pace.
//
// Invariants:
//
//   - One notice per change, never one per attempt: what makes notices is a change of stored state, and a sink passes each position once.
//   - At least once: the position is saved after the delivery. A crash between the two repeats one notice with the same ID, by which
//     receivers know it; nothing else does.
//   - In order per sink, and no sink waits for another. One that fails is tried again, ever less often, until the notice is too old or the
//     receiver has refused it for good; both are said in the log.
//   - A sink that is new starts with what happens from then on.
//   - Secrets, and addresses that may hold one, are fetched for each use and stand in no error and no log.
package notify
