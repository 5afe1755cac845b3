// SPDX-License-Identifier: Apache-2.0

// Package sshexec runs a program on an agent's machine over SSH, for pools that choose it and for agents that Jenkins cannot use just then.
//
// A Target is the machine and the jump hosts on the way to it; an Executor holds the connections. The far side needs an sshd, a POSIX sh,
// mktemp and head, nothing that was ever installed by us.
//
// Invariants:
//
//   - No host is trusted that was not pinned. An unknown one is refused, with the line that would pin it.
//   - Neither the program nor its environment stands on a command line, here or there: both go through standard input, the program into a
//     file that only its user can read, which is removed at the end.
//   - The program runs in a process group of its own. Cancelling ends the whole group, and the answer waits for the proof. When the connection
//     is lost, the far side ends the group as soon as its sshd notices. Out of reach are only processes that made a session of their own.
//   - Every wait has a limit: dialling, the handshake, the run, the drain of its output; a peer that has died is noticed by keepalives.
//   - An *Error says which kind of trouble it was, and MayHaveRun whether the program can have done anything.
package sshexec
