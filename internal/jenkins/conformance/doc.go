// SPDX-License-Identifier: Apache-2.0

// Package conformance states what a Jenkins controller does, in a form that runs.
//
// [Run] drives one controller through its HTTP API, and through agent processes
// that it starts itself from the controller's own agent.jar, and compares what it
// sees with what Jenkins is known to do. It runs against jenkinstest in every
// test run, and against a real controller when one is named in the environment:
// so the two cannot drift apart unnoticed. Behaviours are checked with plain
// net/http where the wire itself matters, and through package jenkins where the
// client's promises do.
//
// A behaviour is one such statement, its name a sentence; a difference is one
// place where the controller did something else. A group is a list of behaviours
// that share a fixture and run one after the other; groups run side by side.
//
// Invariants: every object that is created bears the run's prefix and is removed
// at the end, also after failures; nothing else on the controller is written to;
// only a [Target] that is Disposable is restarted or quieted down; no difference
// ends the run, they are printed together as a table.
//
// The behaviours are those of 2.541.3 without plugins. Package testbed says how a
// controller is named; java must be on PATH:
//
//	go test -v -run RealController ./internal/jenkins/conformance
package conformance
