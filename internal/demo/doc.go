// SPDX-License-Identifier: Apache-2.0

// Package demo shows the whole scheme live, on one machine, without Jenkins, network or root.
//
// It runs two simulated controllers with the same agents and the same trace of builds side by
// side. On the first one a daemon services the agents out of band; on the second one every job
// cleans its agent first, by the very same recipe, as CI teams do without pitcrew. Builds and
// cleanups are real processes in a directory of their own per agent, and the builds leave real
// messes: files, full directories, processes that escape their build.
//
// All that the demo's recipe owns is the demo's own directory and the processes that carry this
// run's cookie. When the demo ends, whatever the reason, both are gone.
package demo
