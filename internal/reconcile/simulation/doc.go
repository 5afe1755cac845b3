// SPDX-License-Identifier: Apache-2.0

// Package simulation holds the tests of the whole engine in virtual time: the real crew, Jenkins
// client and SQLite store against an emulated controller, where only the steps' execution is
// faked.
//
// Three kinds of test live here. The tests named after the invariants (TestI1..., TestI2..., ...)
// let chance make a fleet and a trace of builds, people, restarts and faults, and shrink what
// fails. TestSimulation runs a big fleet for a long time. The benchmarks print the tables of
// docs/benchmarks.md.
//
// Requests of the client are handed to the emulated controller as they are, answers come back the same
// way: all of the client is real down to its transport. A third of the traces speaks HTTP over
// connections in memory, and BenchmarkScale over sockets.
//
// What is judged is ground truth: the emulated controller tells an auditor what really happened
// (each start and end of a build, each change of a label, whoever made it), and the auditor
// compares it with what the engine said it did. Nothing is judged by what the engine believes.
package simulation
