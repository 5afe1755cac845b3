// SPDX-License-Identifier: Apache-2.0

// Package container starts ephemeral controllers: throw-away ones, for rehearsals of cleaning code.
//
// A controller lives in a container that a Docker or Podman engine runs ([Image]), in a process of java beside us ([War]), or it is somebody
// else's and is only used ([Given]). All three are a [Controller] to the caller. A bare war is enough: WebSocket agents and FreeStyle
// jobs are all that is needed, and no plugin.
//
// Its [Seed] is what is put into its home before it starts: one user with an API token that we make, and one init script that lets nobody else
// in. The token travels in a file that the script reads and deletes. It stands in no environment, no label, no command line and no log.
//
// Invariants:
//
//   - [Start] returns a controller that is ready, whose token works and that refuses anonymous readers; or an error that says why, with the
//     last lines of the log, and then nothing is left of it. That holds at whatever point ctx ends.
//   - A boot that has failed answers 503 for ever, as one that goes on does. So there is a deadline, and the log is listened to.
//   - Everything that is made bears its [Owner], from the moment it exists. [Sweep] removes what the dead have left. It never touches what a
//     living owner has, nor what it cannot judge: things of another machine or PID namespace, and things that are not ours.
//   - Nothing listens on more than the address asked for, which is 127.0.0.1 unless the caller says otherwise.
//   - No engine is driven by a command line program: all goes through its API.
package container
