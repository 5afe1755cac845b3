// SPDX-License-Identifier: Apache-2.0

// Package thirdparty drives jenkinstest with clients that others wrote against real
// controllers: python3-jenkins and jenkins-job-builder, as Debian packages them. What
// they need and jenkinstest lacks would otherwise be noticed by nobody, since our own
// client and our own server were written by the same people. With a real controller,
// which the environment may name (package testbed), the same tests judge our jobs.
//
// It consists of tests. They fail in CI when a client is not installed, and are
// skipped elsewhere.
package thirdparty
