// SPDX-License-Identifier: Apache-2.0

// Package engine says again and again: look at this key.
//
// A key names something of a kind: an agent, a controller. It carries no state and no order: a
// handler reads what is stored, does one short step that may be repeated at any time, and says
// when to look again. An engine promises its handlers, whatever dies or is enqueued twice:
//
//   - a key that was enqueued is worked after that at least once (enqueued while it is being
//     worked, it is worked once more), and many times enqueued it waits in line once;
//   - a key of a kind is never worked by two workers at the same time;
//   - a failed key is worked again after a back-off; only errors cause one.
//
// What was enqueued does not survive the process: whoever starts an engine enqueues everything
// that is stored as due. Package enginetest holds these promises as tests for any engine.
package engine
