// SPDX-License-Identifier: Apache-2.0

// Package inbound lets real agent processes connect to a [jenkinstest.Jenkins].
//
// It holds the source of an agent.jar of our own (directory agent, compiled on
// first use by [Build]) which has the options, retries and exit status of
// Jenkins' own, and the controller's half of its connection. [New] makes the
// HTTP side: the WebSocket endpoint /wsagents/, /jnlpJars/agent.jar and the
// agent's JNLP file.
//
// Words: a link is one connection of an agent process, a call one request to
// that process, a record one message on the wire.
//
// The protocol is ours, since Jenkins' own is Java serialisation: both
// directions are a stream of records in binary WebSocket frames,
//
//	length uint32, kind byte, call uint32, payload [length]byte
//
// in network byte order. The controller sends run, stop, kill and write; the
// agent sends one hello, then any number of output records and one done record
// for each call. Lists in payloads are strings, each with its length before it.
//
// Invariants: a call ends exactly once, by the agent's done record or by the end
// of the link; the end of a link ends no process on the agent's machine.
package inbound
