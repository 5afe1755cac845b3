// SPDX-License-Identifier: Apache-2.0

// Package endtoend drives the whole of pitcrew from outside: the program as it is
// built, its configuration file, its API and command line on one side, a controller
// with agents in processes of their own on the other. It consists of tests.
//
// Which controller that is, and what is made there, says package testbed. A scene is
// one test's corner of it: a daemon with labels, jobs and an owner that no other scene
// has, so that scenes run side by side and a controller that is used otherwise is not
// disturbed. What really ran on an agent is learnt from files that recipe and builds
// leave in its directory, not from what Jenkins or the daemon say of it.
package endtoend
