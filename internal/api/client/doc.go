// SPDX-License-Identifier: Apache-2.0

// Package client talks to the daemon's REST API. It speaks the types of package api.
//
// A [Client] may be used by several goroutines. An answer that says no is an [*Error], which holds
// everything the daemon said about it. Requests end with their context; only [Client.Watch] tries
// again by itself.
package client
