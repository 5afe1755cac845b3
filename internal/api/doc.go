// SPDX-License-Identifier: Apache-2.0

// Package api serves the daemon's REST API: what pitcrew knows, why it does what it does, and the
// orders that people give it.
//
// [Server] is an [net/http.Handler]. Everything under /api/v1 is described by the OpenAPI 3.1
// document at /api/openapi.json, which is made from the types here: they are the wire format, and
// are not the domain's, so that either can change alone. Errors are problem+json (RFC 9457); one
// table in problem.go says which error is what, and no chain of internal errors reaches a client.
//
// Who asks is told by a bearer token; each operation names the [store.Role] that it needs. A
// browser may carry the token in a cookie, for reading only. Beside the API stand /healthz, /readyz
// and /metrics, which need no token.
//
// The package changes nothing itself but pauses, slots and tokens: what happens to an agent is
// ordered from the crew that services its controller, see [Controller].
package api
