// SPDX-License-Identifier: Apache-2.0

// Package testbed is the ground that test suites stand on which drive a controller
// from outside: the controller itself, agents of it with processes of their own, and
// the removal of all that a suite made.
//
// The controller is the one that the environment names, or else a jenkinstest on a
// socket. A suite is written once and does not ask which of the two it has, but for
// what only one of them permits:
//
//	PITCREW_TEST_JENKINS_URL       root address; without it jenkinstest stands in
//	PITCREW_TEST_JENKINS_USER      a user who may administer agents and jobs
//	PITCREW_TEST_JENKINS_TOKEN     an API token of that user
//	PITCREW_TEST_JENKINS_PASSWORD  the user's password: adds tests of crumbs and sessions
//	PITCREW_TEST_JENKINS_RESTART   1: nobody else uses the controller, it may be restarted
//	PITCREW_TEST_JENKINS_RESTART_CMD  a command that ends its process with the signal TERM or
//	                               KILL, its argument, and returns when it answers again
//	PITCREW_TEST_JENKINS_HOME      its home directory on this machine
//
// Invariants: the name of every node and job that is made begins with the prefix of
// its [Controller], which no two runs share; nothing else on the controller is written
// to; what was made is removed when the test ends that made it, and swept once more at
// the end of the suite, whatever failed; a controller that the environment names is
// restarted only when that was permitted.
package testbed
