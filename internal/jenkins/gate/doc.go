// SPDX-License-Identifier: Apache-2.0

// Package gate holds the part of pitcrew that runs inside Jenkins: one Groovy file which refuses, under the lock of Jenkins'
// own queue, to start a real build on an agent that is not clean.
//
// The file works with the classes of Jenkins' core alone. What it decides by is a ledger in memory, empty after each start
// of Jenkins, which means that no agent is clean; labels only show what it holds. A grant remembers the connection and the
// very executors of the agent, so that whatever used it since is seen without anybody having told the gate. See
// [decisions.txt] for the rules and the comments of the file for their reasons. The tests drive the file itself, on a Java
// machine with stubs for Jenkins, and the model of it in Go that simulations use, and want the same of both.
//
// [decisions.txt]: https://github.com/pitcrew-ci/pitcrew/blob/main/internal/jenkins/gate/decisions.txt
package gate
