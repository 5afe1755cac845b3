// SPDX-License-Identifier: Apache-2.0

// Package jenkinstest is a stateful Jenkins control plane behind net/http, for
// tests and for demonstrations, as awkward as the real one.
//
// It is written from what Jenkins does, not from what our client expects: it
// shares no code with the client, answers what Jenkins answers (302 after a
// successful action, 200 for a configuration that was dropped, 404 for a left
// queue item after five minutes, ...), and has switches that force each
// awkward branch. A [Jenkins] is an [http.Handler], so it can be served over
// real sockets; [Jenkins.Transport] calls it in memory, without sockets, which
// also works inside a testing/synctest bubble: every wait is a timer, a channel
// or a mutex, and [Jenkins.Close] ends every goroutine and every process.
//
// Words are those of Jenkins: a node is the stored configuration of an agent, a
// computer its run-time face which may outlive the node, an executor a slot on a
// computer with an identity of its own, an item an entry of the queue, a task
// what an item will run (a job, or a node block of a Pipeline).
//
// pitcrew's own part inside Jenkins, the gate, is there on demand: Options.Boot calls
// [Jenkins.InstallGate], as an init script does at each start, or a test calls it at any
// time, as the script console does; in its place stands a model of it in Go (package
// gatemodel), under /pitcrew-gate/. Options.Script plays the script console itself.
//
// Not emulated: Groovy (whoever plays the console has to know the script), the TCP agent port, the XML flavour of
// the API, pages for people beyond a title, load prediction, Agent/Build permissions. A
// Pipeline is a sequence of node blocks with one sh step each, and a step that a
// restart interrupts is run again where a durable one would go on.
//
// Texts are German unless Accept-Language begins with "en".
//
// Invariants: one mutex guards the whole control plane and plays the part of
// Jenkins' queue lock; it is never held while waiting, doing I/O or running a
// step. Hooks registered with [Jenkins.Register] run under it. Everything that
// a restart would lose lives in fields that [Jenkins.Restart] resets.
package jenkinstest
