// SPDX-License-Identifier: Apache-2.0

// Package app is the daemon as a library: it wires configuration, store, crews, API, metrics and
// notifications together, and is the only package that knows them all.
//
// [New] opens everything that can fail at start, [App.Run] serves until its context ends, and
// [App.Reload] takes a changed configuration. Signals belong to the caller.
package app
