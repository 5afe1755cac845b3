// SPDX-License-Identifier: Apache-2.0

// Package live puts the gate to the test on a controller with agents in processes of their own: under load, hostile edits
// of labels, agents that die, restarts. It consists of tests.
//
// The controller is the one that the environment names (package testbed), which must be a bare one that nobody else uses,
// for there is one gate per controller; or else a jenkinstest, where the model of the gate stands in, in a short form.
// [testing.T] subtests:
//
//	go test -v ./internal/jenkins/gate/live
//
// Words: a set-up is a configuration of the agents with a workload and what disturbs it; the ground is the file of an agent
// to which each of its builds and each of its cleanings appends a line when it begins or is over. A build is contaminated if
// another one stands between it and the newest cleaning.
//
// Invariants: contamination is counted from the ground alone, whatever controller and gate say; a controller that has agents
// labelled cleanable or a gate, which are not leftovers of this suite, is left alone; what was made is removed at the end,
// passed or not, the gate with its file included.
package live
